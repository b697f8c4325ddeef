"""Jobs submitted by hand, for sites whose login node has no Python: `sbatch slurm/sbatch/mmfm.sbatch ...`.

`python -m launch.slurm.task COMMAND RECIPE [key=value ...]` runs on the job's first node. It makes there what
`mmfm` makes at submission, the job's pickle and the copy of the code, and prints the shell script to go on
with. That is the script that `mmfm` submits, without its requests to Slurm: those were made by hand.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from submitit.core.utils import JobPaths

from launch.checks.preflight import check
from launch.recipes.commands import JOB_FUNCTIONS, check_required, load_config, make_job
from launch.slurm.queue import refuse_second
from launch.slurm.requeue import SLURM_JOB_VARIABLE
from launch.slurm.script import make_executor
from launch.start.job import Job
from launch.start.snapshot import Snapshot
from mmfm.config.schema import ClusterConfig
from mmfm.errors import USER_ERROR_EXIT, UserError

REQUEST = "#SBATCH"


def prepare(command: str, recipe: str, words: Sequence[str], given: Mapping[str, str]) -> str:
    """Make all that the processes of this job need, and return the rest of its script.

    `given` is the environment that Slurm gives the job: what it says goes over what the words say.
    Raises `UserError` for what cannot be run.
    """
    if command not in JOB_FUNCTIONS:
        raise UserError(f"{command!r} is no job: {', '.join(JOB_FUNCTIONS)}")
    config = load_config(command, recipe, [*words, *granted(given)])
    check_required(command, config)
    check(config)
    job = make_job(command, config)
    if job.trains:
        refuse_second(job, own=given[SLURM_JOB_VARIABLE])  # a first start may have been cut short
    Snapshot(Path(job.run_folder)).take()
    return script(job, config.cluster, given[SLURM_JOB_VARIABLE])


def granted(given: Mapping[str, str]) -> list[str]:
    """What Slurm has given this job, as overrides."""
    if SLURM_JOB_VARIABLE not in given:
        raise UserError("no Slurm job: this is run by `sbatch slurm/sbatch/mmfm.sbatch COMMAND RECIPE ...`")
    nodes, tasks = int(given["SLURM_JOB_NUM_NODES"]), int(given["SLURM_NTASKS"])
    if "SLURM_CPUS_PER_TASK" not in given:
        raise UserError("sbatch --cpus-per-task is missing: it says how many cores each process gets")
    if tasks % nodes:
        raise UserError(f"{tasks} tasks on {nodes} nodes: give sbatch --ntasks-per-node, as many as GPUs")
    values = {
        "kind": "slurm",
        "nodes": nodes,
        "processes": tasks // nodes,
        "cpus": given["SLURM_CPUS_PER_TASK"],
        "gpus": f"'{given.get('SLURM_GPUS_ON_NODE', '')}'",
    }
    return [f"cluster.{key}={value}" for key, value in values.items()]


def script(job: Job, cluster: ClusterConfig, job_id: str) -> str:
    """The script of a job, once Slurm has started it. Keeps what submitit keeps beside the job's logs."""
    executor = make_executor(job, cluster)
    paths = JobPaths(executor.folder, job_id=job_id)
    paths.folder.mkdir(parents=True, exist_ok=True)
    executor.keep(job, paths.submitted_pickle)
    lines = [line for line in executor.script().splitlines() if not line.startswith(REQUEST)]
    logs = [f"exec >>{shlex.quote(str(paths.stdout))} 2>>{shlex.quote(str(paths.stderr))}"]
    return "\n".join([*lines[:1], *logs, *lines[1:], ""])


def main(words: Sequence[str]) -> int:
    """Entry of the process."""
    if len(words) < 2:
        print("usage: python -m launch.slurm.task COMMAND RECIPE [key=value ...]", file=sys.stderr)
        return USER_ERROR_EXIT
    try:
        print(prepare(words[0], words[1], words[2:], os.environ))
    except UserError as error:
        print(f"mmfm: error: {error}", file=sys.stderr)
        return USER_ERROR_EXIT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
