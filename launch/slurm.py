"""Slurm: the sbatch script of a job, and its submission, both by submitit."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError

from launch.environment import process_environment
from launch.executor import log_folder
from launch.job import Job
from launch.snapshot import Snapshot
from mmfm.config.schema import ClusterConfig
from mmfm.errors import ConfigError, UserError
from mmfm.training.runfolder import COMMIT_VARIABLE, git_commit


class ScriptExecutor(SlurmExecutor):
    """submitit's Slurm executor, also where there is no Slurm: the script can be shown anywhere."""

    @classmethod
    def affinity(cls) -> int:
        """Always available; `submit_slurm` looks for sbatch itself."""
        return 1

    def script(self) -> str:
        """The text that would be handed to sbatch."""
        return self._make_submission_file_text(self._submitit_command_str, uid="")


def sbatch_script(job: Job, cluster: ClusterConfig) -> str:
    """The sbatch script of `job`, exactly as it would be submitted. Writes nothing but the log folder."""
    return _executor(job, cluster).script()


def submit_slurm(job: Job, cluster: ClusterConfig) -> str:
    """Submit `job` and return its id. Raises `UserError` where sbatch is missing."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "sbatch is not on the PATH: run this on a login node of the cluster, "
            "or add --dry-run to see the script"
        )
    executor = _executor(job, cluster)
    Snapshot(Path(job.run_folder)).take()
    try:
        return str(executor.submit(job).job_id)
    except FailedJobError as error:
        raise UserError(f"Slurm refused the job: {error}. Add --dry-run to see the script") from error


def check_slurm(cluster: ClusterConfig) -> None:
    """Refuse settings that cannot make a job."""
    if cluster.cpus < 1:
        raise ConfigError("cluster.cpus is not set: a Slurm job says how many CPU cores each process gets")
    if cluster.nodes < 1 or cluster.processes < 1:
        raise ConfigError(
            f"cluster.nodes={cluster.nodes} and cluster.processes={cluster.processes} must be at least 1"
        )
    count = cluster.gpus.rpartition(":")[2]
    if cluster.gpus and not count.isdigit():
        raise ConfigError(f"cluster.gpus={cluster.gpus!r} must be a number, or a type and a number: a100:4")
    if cluster.gpus and int(count) != cluster.processes:
        raise ConfigError(
            f"cluster.gpus={cluster.gpus} and cluster.processes={cluster.processes} differ: "
            "each GPU has one process"
        )


def _executor(job: Job, cluster: ClusterConfig) -> ScriptExecutor:
    check_slurm(cluster)
    executor = ScriptExecutor(folder=log_folder(job))
    optional = {
        "gpus_per_node": cluster.gpus,
        "mem": f"{cluster.memory_gb}GB" if cluster.memory_gb else "",
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
    }
    exports = [f"export {k}={shlex.quote(v)}" for k, v in process_environment(cluster.cpus).items()]
    exports += _code_exports(Snapshot(Path(job.run_folder)).folder)
    executor.update_parameters(
        job_name=f"mmfm-{job.command}",
        nodes=cluster.nodes,
        ntasks_per_node=cluster.processes,
        cpus_per_task=cluster.cpus,
        time=max(1, round(cluster.hours * 60)),
        setup=[*cluster.setup, *exports],
        # srun takes neither from sbatch by itself; without the first, a dead rank leaves the others waiting
        srun_args=["--kill-on-bad-exit=1", f"--cpus-per-task={cluster.cpus}"],
        additional_parameters={"requeue": True, **cluster.extra},
        **{name: value for name, value in optional.items() if value},
    )
    return executor


def _code_exports(code: Path) -> list[str]:
    """Shell lines that have the job import our packages from `code`, and know of which commit they are."""
    return [
        f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONSAFEPATH=1",  # else the working folder, perhaps a checkout, goes first
        f"export {COMMIT_VARIABLE}={git_commit()}",
    ]
