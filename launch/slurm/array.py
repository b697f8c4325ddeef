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
from dataclasses import dataclass
from pathlib import Path

from submitit.core.utils import JobPaths

from launch.slurm.queue import SLURM_SECONDS
from launch.slurm.script import ALONE, make_executor, note_submission, prepare_submission
from launch.slurm.terms import Terms
from launch.start.job import Job, log_folder
from mmfm.config.schema import ClusterConfig
from mmfm.errors import UserError
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
    """One job of an array, and shell lines around it."""

    job: Job
    terms: Terms = ALONE


def submit_array(
    members: Sequence[Member],
    cluster: ClusterConfig,
    folder: Path,
    name: str,
    limit: int = 0,
    after: Sequence[str] = (),
) -> list[str]:
    """Submit `members`, at most `limit` at once (0: all), and return their ids. `folder` keeps the scripts.

    They start once the jobs `after` have ended well. Raises `UserError` if Slurm refuses them.
    """
    folder = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"  # an earlier array may still wait
    for job in {member.job.run_folder: member.job for member in members}.values():
        prepare_submission(job)
    drafts: list[Path] = []
    scripts: list[str] = []
    for number, member in enumerate(members):
        logs = log_folder(member.job)
        logs.parent.mkdir(parents=True, exist_ok=True)
        executor = make_executor(member.job, cluster, member.terms)
        scripts.append(executor.script())
        start = HAND_OVER % {"logs": shlex.quote(str(logs.parent))}
        write_atomically(folder / f"member_{number}.sh", start + _of_task(scripts[-1], logs))
        drafts.append(logs.with_name(f".{folder.name}_{number}.pkl"))
        executor.keep(member.job, drafts[-1])
    options = Terms(tuple(after)).options()
    options |= {"array": f"0-{len(members) - 1}%{limit or len(members)}", "job-name": f"mmfm-{name}"}
    options |= {"output": folder.absolute() / "%A_%a.log"}
    write_atomically(folder / SCRIPT, _array_script(scripts[0], options, folder))
    try:
        array = _sbatch(folder / SCRIPT)
    except UserError:
        for draft in drafts:
            draft.unlink()
        raise
    jobs = [f"{array}_{number}" for number in range(len(members))]
    places = [JobPaths(log_folder(member.job), job_id=job) for member, job in zip(members, jobs, strict=True)]
    # All at once, and before anything slow: the tasks may run already, and wait a minute for them.
    for place, draft in zip(places, drafts, strict=True):
        place.move_temporary_file(draft, "submitted_pickle")
    for member, place, script, submitted in zip(members, places, scripts, jobs, strict=True):
        write_atomically(place.submission_file, script)
        note_submission(member.job, cluster, submitted)
    return jobs


def _of_task(script: str, logs: Path) -> str:
    """A job's script with its log folder named as a task's. Lines of the site keep their %j."""
    ours = shlex.quote(str(logs)).strip("'")
    lines = [line.replace("%j", "%A_%a") if ours in line else line for line in script.splitlines()]
    return "\n".join([*lines, ""])


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
