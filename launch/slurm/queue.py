"""Slurm's queue and accounts: in which state jobs are, and what can be done to them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.start.job import Job
from mmfm.errors import UserError

SLURM_SECONDS = 60  # for one question to a busy controller
QUEUE_FIELDS = "JobArrayID:|,State:|,Reason:|,NodeList:|,RestartCnt:|,StartTime:|"
OVER = "over"  # the state of a job that neither the queue nor the accounts know (any more)
UNKNOWN = "unknown"  # while Slurm cannot be asked


@dataclass(frozen=True)
class JobState:
    """What Slurm says of a job. `reason` tells why it waits, `expected` when it may begin, if Slurm knows."""

    state: str
    reason: str = ""
    nodes: str = ""
    restarts: int = 0
    expected: str = ""
    queued: bool = False  # it waits, runs or is just ending

    @property
    def running(self) -> bool:
        return self.state == "running"


def job_states(jobs: Sequence[str]) -> dict[str, JobState]:
    """The state of each job, from the queue, else from the accounts, where the cluster keeps them.

    Raises `UserError` if the queue cannot be asked.
    """
    waiting = _queue()
    states = {job: waiting[job] for job in jobs if job in waiting}
    others = [job for job in jobs if job not in states]
    past = _accounts(others) if others else {}
    return {job: states.get(job) or past.get(job) or JobState(OVER) for job in jobs}


def refuse_second(job: Job, own: str = "") -> None:
    """Refuse to start a training job while another of the same run waits or runs, as far as can be known.

    Each would take the run away from the other. `own` is the job that asks, if it is one. Raises `UserError`
    naming the one that is there.
    """
    known = jobs_of(job) - {own}
    try:
        waiting = _queue()
    except UserError:  # not on a cluster, or not one that answers
        return
    for name, state in waiting.items():
        if name in known and state.state != "completing":
            raise UserError(
                f"{job.run_folder} has Slurm job {name} already ({state.state}): wait for it, end it with "
                f"`mmfm cancel {job.run_folder}`, or choose another run.name"
            )


def jobs_of(job: Job) -> set[str]:
    """The jobs that were ever submitted for a run: those with logs, and those that its journal knows."""
    logs = {path.name for path in (Path(job.run_folder) / "logs").glob("*")}
    return logs | {event.start.job for event in job.journal.events()}


def cancel_job(job: str) -> None:
    """Have Slurm end a job. Raises `UserError` if it refuses."""
    _ask("scancel", job)


def requeue_job(job: str) -> None:
    """Have Slurm stop a running job, and start it again when it is its turn. Raises `UserError`."""
    _ask("scontrol", "requeue", job)


def signal_job(job: str, name: str) -> None:
    """Send a signal, such as USR2, to the processes of a running job. Raises `UserError` if Slurm refuses."""
    _ask("scancel", f"--signal={name}", job)


def _queue() -> dict[str, JobState]:
    """This user's jobs that wait or run."""
    found = {}
    for line in _ask("squeue", "-h", "-r", "--me", "-O", QUEUE_FIELDS):
        job, state, reason, nodes, restarts, expected = line.split("|")[:6]
        pending = state == "PENDING"
        found[job] = JobState(
            state=state.lower(),
            reason=reason if pending and reason != "None" else "",
            nodes=nodes,
            restarts=int(restarts or 0),
            expected=expected if pending and expected != "N/A" else "",
            queued=True,
        )
    return found


def _accounts(jobs: Sequence[str]) -> dict[str, JobState]:
    """Jobs that are over."""
    try:
        lines = _ask("sacct", "-n", "-P", "-X", "-j", ",".join(jobs), "-o", "JobID,State,NodeList")
    except UserError:  # a cluster without accounts
        return {}
    found = {}
    for line in lines:
        job, state, nodes = line.split("|")[:3]
        found[job] = JobState(state.split()[0].lower(), nodes="" if nodes == "None assigned" else nodes)
    return found


def _ask(*command: str) -> list[str]:
    """The lines that a Slurm program prints. Raises `UserError` if it is missing, fails or stays silent."""
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is not on the PATH: run this on a login node of the cluster")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLURM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not answer within {SLURM_SECONDS} s; try again later") from None
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.splitlines()
