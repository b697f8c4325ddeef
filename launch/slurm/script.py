"""Slurm: the sbatch script of a job, and its submission, both by submitit."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedJobError

from launch.slurm.queue import refuse_second
from launch.slurm.terms import Terms
from launch.start.environment import process_environment
from launch.start.job import Job, log_folder
from launch.start.snapshot import Snapshot
from mmfm.config.schema import ClusterConfig
from mmfm.errors import USER_ERROR_EXIT, ConfigError, UserError
from mmfm.training.journal import Start
from mmfm.training.runfolder import COMMIT_VARIABLE, git_commit

ALONE = Terms()
# Tells the starts of a job apart in its log: requeued jobs append to it.
START_MARK = 'echo "mmfm: start $((${SLURM_RESTART_COUNT:-0} + 1)) on $SLURM_JOB_NODELIST" >&2'


class ScriptExecutor(SlurmExecutor):
    """submitit's Slurm executor, also where there is no Slurm: the script can be shown anywhere."""

    most_tasks = 1

    @classmethod
    def affinity(cls) -> int:
        """Always available; `submit_slurm` looks for sbatch itself."""
        return 1

    def script(self) -> str:
        """The text that would be handed to sbatch."""
        return self._make_submission_file_text(self._submitit_command_str, uid="")

    def keep(self, job: Job, path: Path) -> None:
        """Write what the job's processes run, as submitit reads it."""
        submission = DelayedSubmission(job)
        submission.set_timeout(self.parameters["time"], self.max_num_timeout)
        submission.dump(path)

    def _num_tasks(self) -> int:
        """The most tasks that there can be."""
        return self.most_tasks


def sbatch_script(job: Job, cluster: ClusterConfig) -> str:
    """The sbatch script of `job`, exactly as it would be submitted. Writes nothing but the log folder."""
    return make_executor(job, cluster).script()


def submit_slurm(job: Job, cluster: ClusterConfig, terms: Terms = ALONE) -> str:
    """Submit `job` and return its id; of a chain of jobs, which has no terms, the last.

    Raises `UserError` where sbatch is missing, Slurm refuses, or the run has a job already.
    """
    links = cluster.chain if job.trains else 1
    assert links == 1 or terms == ALONE, (
        "what waits for a run must not take a chain's first end for the run's"
    )
    prepare_submission(job)
    before = ""
    for _ in range(links):
        executor = make_executor(job, cluster, terms, behind=before)
        try:
            submitted = str(executor.submit(job).job_id)
        except FailedJobError as error:
            raise UserError(f"Slurm refused the job: {error}. Add --dry-run to see the script") from error
        note_submission(job, cluster, submitted, before)
        before = submitted
    return before


def prepare_submission(job: Job) -> None:
    """Take the copy of the code that `job` runs. Raises `UserError` where the job cannot be submitted."""
    if shutil.which("sbatch") is None:
        raise UserError(
            "sbatch is not on the PATH: run this on a login node of the cluster, "
            "or add --dry-run to see the script"
        )
    if job.trains:
        refuse_second(job)
    Snapshot(Path(job.run_folder)).take()


def note_submission(job: Job, cluster: ClusterConfig, submitted: str, before: str = "") -> None:
    """Write into a run's journal that Slurm has taken a job for it, queued behind the job `before`."""
    if job.trains:
        size = {"nodes": cluster.nodes, "processes": cluster.processes}
        job.journal.append("submitted", Start(submitted), **size, after=before)


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
    if cluster.min_nodes > cluster.nodes:
        raise ConfigError(f"cluster.min_nodes={cluster.min_nodes} is more than cluster.nodes={cluster.nodes}")


def make_executor(job: Job, cluster: ClusterConfig, terms: Terms = ALONE, behind: str = "") -> ScriptExecutor:
    """submitit's executor with all that the script of `job` needs. `behind` is a job that must end before."""
    check_slurm(cluster)
    executor = ScriptExecutor(folder=log_folder(job), python=cluster.python or None)
    optional = {
        **_gpu_options(cluster),
        "mem": f"{cluster.memory_gb}GB" if cluster.memory_gb else "",
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "exclude": cluster.exclude,
    }
    size, tasks = _size(cluster, cluster.min_nodes if job.trains else 0)
    executor.most_tasks = cluster.nodes * cluster.processes
    requeue = {"requeue": True} if cluster.chain == 1 or not job.trains else {"no-requeue": True}
    order = {"dependency": f"afterany:{behind}"} if behind else terms.options()
    executor.update_parameters(
        job_name=f"mmfm-{job.command}",
        time=max(1, round(cluster.hours * 60)),
        signal_delay_s=cluster.save_seconds,
        setup=[*_setup_lines(job, cluster), *terms.lines(executor.python)],
        teardown=teardown_lines(executor.python, log_folder(job)) if job.trains else None,
        # srun takes neither from sbatch by itself; without the first, a dead rank leaves the others waiting
        srun_args=["--kill-on-bad-exit=1", *tasks, "--distribution=block"],
        additional_parameters={**size, **requeue, **order, **cluster.extra},
        **{name: value for name, value in optional.items() if value},
    )
    return executor


def _size(cluster: ClusterConfig, fewest: int) -> tuple[dict[str, object], list[str]]:
    """sbatch's options on nodes and tasks, and srun's.

    For a range of nodes sbatch is not told of tasks: it would count them for the fewest nodes, and then
    never give more nodes than tasks.
    """
    processes, cpus = cluster.processes, cluster.cpus
    if 0 < fewest < cluster.nodes:
        size = {"nodes": f"{fewest}-{cluster.nodes}", "mincpus": processes * cpus}
        return size, [f"--ntasks-per-node={processes}", f"--cpus-per-task={cpus}"]
    size = {"nodes": cluster.nodes, "ntasks-per-node": processes, "cpus-per-task": cpus}
    return size, [f"--cpus-per-task={cpus}"]


def teardown_lines(python: str, folder: Path) -> list[str]:
    """Shell lines after srun: what a start that failed means for the job. `folder` as of `log_folder`."""
    words = f"{python} -m launch.slurm.aftermath {shlex.quote(str(folder))}"
    # requeueing ends the script and all that it runs by SIGTERM: what asks for it has to outlive that
    return [f"code=$?; trap '' TERM; {words} $code", "exit $?"]


def _gpu_options(cluster: ClusterConfig) -> dict[str, str]:
    """What asks for GPUs and other generic resources of each node, in the words of the site."""
    if cluster.gpu_flag == "gres" and cluster.gpus:
        return {"gres": ",".join([f"gpu:{cluster.gpus}", *cluster.gres])}
    return {"gpus_per_node": cluster.gpus, "gres": ",".join(cluster.gres)}


def _setup_lines(job: Job, cluster: ClusterConfig) -> list[str]:
    """Shell lines before srun: modules, the site's own lines, the environment, and a mark in the log."""
    exports = [f"export {k}={shlex.quote(v)}" for k, v in process_environment(cluster.cpus, cluster).items()]
    return [
        *(f"module load {shlex.quote(name)} || exit {USER_ERROR_EXIT}" for name in cluster.modules),
        *cluster.setup,
        *exports,
        *_code_exports(Snapshot(Path(job.run_folder)).folder),
        START_MARK,
    ]


def _code_exports(code: Path) -> list[str]:
    """Shell lines that have the job import our packages from `code`, and know of which commit they are."""
    return [
        f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        "export PYTHONSAFEPATH=1",  # else the working folder, perhaps a checkout, goes first
        f"export {COMMIT_VARIABLE}={git_commit()}",
    ]
