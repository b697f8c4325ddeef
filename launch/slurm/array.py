"""Several jobs as one Slurm array: one submission, one line in the queue, a limit on how many run at once.

The array's script hands over to the script of a member, which is that of the same job by itself. So a member
has its own run folder, logs, requeues and record; its name is ARRAY_NUMBER, like 4711_3.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths

from launch.local.executor import log_folder
from launch.slurm.queue import SLURM_SECONDS
from launch.slurm.script import ALONE, ScriptExecutor, make_executor, note_submission, prepare_submission
from launch.slurm.terms import Terms
from launch.start.job import Job
from mmfm.config.schema import ClusterConfig
from mmfm.errors import ConfigError, UserError
from mmfm.files import write_atomically

SCRIPT = "array.sh"
OWN_OPTIONS = ("output", "error", "array", "dependency", "kill-on-invalid-dep", "job-name")
HAND_OVER = """\
#!/bin/bash
id=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
mkdir -p %(logs)s/$id
exec >>%(logs)s/$id/${id}_0_log.out 2>>%(logs)s/$id/${id}_0_log.err
"""


@dataclass(frozen=True)
class Member:
    """One job of an array, where it runs, and shell lines around it."""

    job: Job
    cluster: ClusterConfig
    terms: Terms = ALONE


def submit_array(
    members: Sequence[Member], folder: Path, name: str, limit: int = 0, after: Sequence[str] = ()
) -> list[str]:
    """Submit `members`, at most `limit` at once (0: all), and return their ids. `folder` keeps the scripts.

    They start once the jobs `after` have ended well. Raises `ConfigError` if they ask for different places,
    `UserError` if Slurm refuses them.
    """
    cluster = _one_place(members)
    folder = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"  # an earlier array may still wait
    for job in {member.job.run_folder: member.job for member in members}.values():
        prepare_submission(job)
    executors = [make_executor(member.job, cluster, member.terms) for member in members]
    scripts = [executor.script() for executor in executors]
    for number, (member, script) in enumerate(zip(members, scripts, strict=True)):
        start = HAND_OVER % {"logs": shlex.quote(str(log_folder(member.job).parent))}
        write_atomically(folder / f"member_{number}.sh", start + script.replace("%j", "%A_%a"))
    options = Terms(tuple(after)).options()
    options |= {"array": f"0-{len(members) - 1}%{limit or len(members)}", "job-name": f"mmfm-{name}"}
    options |= {"output": folder.absolute() / "%A_%a.log"}
    write_atomically(folder / SCRIPT, _array_script(scripts[0], options, folder))
    array = _sbatch(folder / SCRIPT)
    jobs = [f"{array}_{number}" for number in range(len(members))]
    for member, executor, name in zip(members, executors, jobs, strict=True):
        _leave_pickle(member.job, executor, name)
        note_submission(member.job, cluster, name)
    return jobs


def _one_place(members: Sequence[Member]) -> ClusterConfig:
    """The cluster config of all members: an array asks for the same resources for each."""
    first = members[0].cluster
    for member in members[1:]:
        before, now = asdict(first), asdict(member.cluster)
        other = [key for key in before if before[key] != now[key]]
        if other:
            raise ConfigError(
                f"the jobs of an array have the same resources, but cluster.{other[0]} is "
                f"{before[other[0]]!r} for one and {now[other[0]]!r} for another: run those by themselves"
            )
    if first.chain > 1:
        raise ConfigError(f"cluster.chain={first.chain} does not go with an array: leave it at 1")
    return first


def _array_script(member: str, options: dict[str, object], folder: Path) -> str:
    """The options of a member's script but for those of the array itself, and the way to each member's."""
    kept = [
        line
        for line in member.splitlines()
        if line.startswith("#SBATCH ") and _option_name(line) not in OWN_OPTIONS
    ]
    own = [f"#SBATCH --{key}={shlex.quote(str(value))}" for key, value in options.items()]
    way = f"exec bash {shlex.quote(str(folder.absolute()))}/member_$SLURM_ARRAY_TASK_ID.sh"
    return "\n".join(["#!/bin/bash", *kept, *own, way, ""])


def _option_name(line: str) -> str:
    return line.removeprefix("#SBATCH --").partition("=")[0].strip()


def _sbatch(script: Path) -> str:
    done = subprocess.run(
        ["sbatch", str(script)], capture_output=True, text=True, timeout=SLURM_SECONDS, check=False
    )
    found = re.search(r"job (\d+)", done.stdout)
    if done.returncode or not found:
        raise UserError(f"Slurm refused the array: {done.stderr.strip() or done.stdout.strip()}")
    return found[1]


def _leave_pickle(job: Job, executor: ScriptExecutor, name: str) -> None:
    """Put what the job runs where submitit looks for it (it waits a minute for it)."""
    paths = JobPaths(executor.folder, job_id=name)
    draft = executor.folder.parent / f".{name}.pkl"
    draft.parent.mkdir(parents=True, exist_ok=True)
    submission = DelayedSubmission(job)
    submission.set_timeout(executor.parameters["time"], executor.max_num_timeout)
    submission.dump(draft)
    paths.move_temporary_file(draft, "submitted_pickle")
