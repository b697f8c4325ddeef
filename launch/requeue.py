"""A Slurm job that left before its last step asks Slurm to be started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess

from mmfm.progress import say

SLURM_SECONDS = 60  # for one question to a busy controller
JOB_VARIABLE = "SLURM_JOB_ID"
COUNT_VARIABLE = "SLURM_RESTART_COUNT"  # not set at the first start


def requeue(rank: int) -> None:
    """Put this process's job back into the queue. Every rank calls it when all have saved; rank 0 asks.

    A job that its user cancelled is not put back: Slurm no longer has it as running.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm's way to end this start; we are about to leave
    if rank != 0:
        return
    job = os.environ[JOB_VARIABLE]
    if shutil.which("scontrol") is None:
        say(f"scontrol is not on {socket.gethostname()}: job {job} is not requeued; submit the command again")
        return
    state = job_state(job)
    if state != "RUNNING":
        say(f"job {job} does not requeue itself: Slurm is ending it ({state})")
        return
    say(f"requeueing job {job} (start {int(os.environ.get(COUNT_VARIABLE, 0)) + 1} ends here)")
    answer = _scontrol("requeue", job)
    if answer.returncode:
        say(f"job {job} is not requeued: {answer.stderr.strip()}; submit the command again")


def job_state(job: str) -> str:
    """The state of a job as Slurm names it, such as RUNNING; "unknown" if Slurm does not say."""
    found = re.search(r"\bJobState=(\w+)", _scontrol("show", "job", job).stdout)
    return found[1] if found else "unknown"


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scontrol", *words], capture_output=True, text=True, timeout=SLURM_SECONDS, check=False
    )
