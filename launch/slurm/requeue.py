"""A Slurm job that left before its last step asks Slurm to be started again."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time

from launch.slurm.queue import SLURM_SECONDS
from launch.start.claim import chain as links
from mmfm.config.schema import ClusterConfig
from mmfm.errors import UserError
from mmfm.progress import say
from mmfm.training.failure import node_name
from mmfm.training.journal import Journal, Start

CONTROLLER_SECONDS = 20  # between questions to one that is just being restarted
CONTROLLER_TRIES = 15
SLURM_JOB_VARIABLE = "SLURM_JOB_ID"  # also of a task of an array, whose id is another


def warn_without_scontrol(cluster: ClusterConfig) -> None:
    """Say at the beginning, not at the end of a long job, that it will not be able to requeue itself."""
    if cluster.kind == "slurm" and cluster.chain == 1 and shutil.which("scontrol") is None:
        say(
            f"warning: scontrol is not on {node_name()}: this job cannot requeue itself after its time limit "
            "or a failure. Make it available to the job, or see cluster.chain"
        )


def requeue(rank: int, journal: Journal, start: Start, chain: int = 1) -> None:
    """Put this process's job back into the queue. Every rank calls it when all have saved; rank 0 asks.

    A job that its user cancelled is not put back: Slurm no longer has it as running. Nor is one of a `chain`:
    the next job of it goes on. Raises `UserError` in the last one.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm's way to end this start; we are about to leave
    if rank != 0:
        return
    if chain > 1:
        if is_last(journal, start.job, chain):
            raise UserError(
                f"job {start.job}, the last of cluster.chain={chain}, ends before the run's last step: "
                "submit the command again"
            )
        say(f"{start} ends here; the next job of the chain goes on")
        return
    ask_again(journal, start, [])


def is_last(journal: Journal, job: str, chain: int) -> bool:
    """Whether no further job of a `chain` is queued behind `job`."""
    return len(links(journal, job)) >= chain


def ask_again(journal: Journal, start: Start, exclude: list[str]) -> bool:
    """Have Slurm start this job again, on other nodes than those in `exclude`. Says so, or why it cannot be.

    Neither the caller nor a script that it is run by may die of SIGTERM: Slurm ends this start at once.
    """
    job = start.job  # of an array's task ARRAY_NUMBER: the number of its last one stands for all of them
    if shutil.which("scontrol") is None:
        say(
            f"scontrol is not on {node_name()}: job {job} is not requeued; submit the command again, and see "
            "cluster.chain for jobs that follow each other without it"
        )
        return False
    state = job_fact(job, "JobState")
    for _ in range(CONTROLLER_TRIES):
        if state:
            break
        say(f"Slurm's controller does not answer; asking again in {CONTROLLER_SECONDS} s")
        time.sleep(CONTROLLER_SECONDS)
        state = job_fact(job, "JobState")
    if state != "RUNNING":
        say(f"job {job} does not requeue itself: Slurm is ending it ({state or 'no answer'})")
        return False
    say(f"requeueing job {job} (start {start.count + 1} ends here)")
    before = job_fact(job, "ExcNodeList")
    answer = _scontrol("requeue", job)
    if answer.returncode:
        say(f"job {job} is not requeued: {answer.stderr.strip()}; submit the command again")
        return False
    if exclude:
        nodes = ",".join(filter(None, [before, *exclude]))
        answer = _scontrol("update", f"JobId={job}", f"ExcNodeList={nodes}")
        if answer.returncode:
            say(f"job {job} may get {', '.join(exclude)} again: {answer.stderr.strip()}")
    try:
        journal.append("requeued", start, excluded=exclude)
    except OSError as error:  # the next start tells all the same
        say(f"warning: 'requeued' is not in {journal.path}: {error}")
    return True


def job_fact(job: str, name: str) -> str:
    """What Slurm says of a job, such as its JobState or Restarts; "" if it does not say, or has none."""
    found = re.search(rf"\b{name}=(\S+)", _scontrol("show", "job", job).stdout)
    return found[1] if found and found[1] != "(null)" else ""


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["scontrol", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SLURM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {SLURM_SECONDS} s")
