"""What the job of a pipeline's stage writes into the stage's record, called by its sbatch script.

python -m launch.pipelines.stagejob begin FOLDER STAGE whole|part
python -m launch.pipelines.stagejob end   FOLDER STAGE whole|part EXIT_CODE

`end` leaves with the exit code that the job should have: Slurm starts what waits for it only after a 0.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from launch.pipelines.records import Records, Stage
from launch.pipelines.stages import missing_part
from launch.slurm.queue import UNKNOWN, JobState, job_states
from launch.start.job import slurm_start
from mmfm.config.schema import PretrainConfig
from mmfm.errors import UserError
from mmfm.progress import say
from mmfm.training.failure import read_failures
from mmfm.training.journal import Start
from mmfm.training.runfolder import RunFolder

ENDED_BY_SLURM = ("cancelled", "timeout", "completing")  # a script that ends by itself is still "running"
REQUEUED = ("pending", "requeued", "requeue_hold")


def main(words: Sequence[str]) -> int:
    """Write the event, and return the exit code of the job."""
    what, folder, name, share, *code = words
    records, start = Records(Path(folder)), slurm_start()
    if what == "begin":
        records[name].note("part" if share == "part" else "running", start, node=socket.gethostname())
        return 0
    return end(records, records.stages[name], start, share == "part", int(code[0]))


def end(records: Records, stage: Stage, start: Start, part: bool, code: int) -> int:
    """Write down how a stage's job ended, and with it the stage or a `part` of it."""
    if code == 0 and part:
        return 0
    missing = missing_part(stage.command, stage.config)
    if code == 0 and not missing:
        records.finish(stage, start)
        return 0
    job = _ask(start.job)
    if job.state in REQUEUED or job.restarts > start.count:
        records[stage.name].note("requeued", start)
        return code
    if job.state in ENDED_BY_SLURM:
        why = f"Slurm ended its job {start.job}: cancelled, or out of time (cluster.hours)"
        fail(records, stage, start, "cancelled", why)
    elif code == 0:
        fail(records, stage, start, "stopped", missing)
    else:
        fail(records, stage, start, "failed", cause_of(stage, start, f"exit code {code}"))
    return code or 1


def fail(records: Records, stage: Stage, start: Start, event: str, cause: str) -> None:
    """Write down that a stage did not come to its end, and that what waits for it is not run."""
    records[stage.name].note(event, start, cause=cause)
    records.cancel_after(stage.name, f"{stage.name} {event}: {cause}")
    say(f"stage {stage.name} {event}: {cause}")


def cause_of(stage: Stage, start: Start, otherwise: str) -> str:
    """Why a stage's job failed, as far as its processes said; else what is known from outside."""
    if isinstance(stage.config, PretrainConfig):
        told = [
            str(event.values["cause"])
            for event in RunFolder.of(stage.config.run).journal.events()
            if event.start.job == start.job and event.name in ("failed", "given_up")
        ]
        if told:
            return told[-1]
    logs = Path(stage.logs.replace("%j", start.job))
    failures = read_failures(logs, start.count)
    return str(failures[0]) if failures else f"{otherwise}; logs: {logs}"


def _ask(job: str) -> JobState:
    try:
        return job_states([job])[job]
    except UserError:  # a node without Slurm's programs
        return JobState(UNKNOWN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
