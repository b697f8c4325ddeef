"""Runs on Slurm as seen from their folders: which job, in which state, how far. No shell has to stay open."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.follow import tail
from mmfm.errors import DataError, UserError

SLURM_SECONDS = 60
QUEUE_FIELDS = "JobID:|,State:|,Reason:|,NodeList:|,RestartCnt:|"
OVER = "over"  # the state of a job that neither the queue nor the accounts know (any more)


@dataclass(frozen=True)
class JobState:
    """What Slurm says of a job. `reason` tells why it waits; `restarts` is empty once it left the queue."""

    state: str
    reason: str = ""
    nodes: str = ""
    restarts: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a run is, from its config and the last line of its metrics."""

    step: int = 0
    steps: int = 0
    loss: float | None = None
    samples_per_s: float = 0.0
    hours_left: float | None = None


def newest_job(run: Path) -> str:
    """The id of the job that was submitted last for a run. Raises `DataError` if there is none."""
    jobs = [path.name for path in (run / "logs").glob("*") if path.name.isdigit()]
    if not jobs:
        raise DataError(f"{run} holds no run that was submitted to Slurm: it has no logs/<job id>")
    return max(jobs, key=int)


def submitted_runs(folder: Path) -> list[Path]:
    """The run folders at and below `folder`, at most three levels deep, whose jobs went to Slurm."""
    candidates = [folder, *(path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth))]
    return sorted(run for run in candidates if any(p.name.isdigit() for p in (run / "logs").glob("*")))


def log_file(run: Path, rank: int) -> Path:
    """The log of one rank of a run's newest job. Raises `DataError` naming the ranks that have one."""
    job = newest_job(run)
    folder = run / "logs" / job
    path = folder / f"{job}_{rank}_log.err"
    if not path.exists():
        ranks = sorted(int(p.name.split("_")[1]) for p in folder.glob(f"{job}_*_log.err"))
        known = f"ranks with one: {', '.join(map(str, ranks))}" if ranks else "the job has not started"
        raise DataError(f"no log of rank {rank} in {folder}: {known}")
    return path


def job_states(jobs: Sequence[str]) -> dict[str, JobState]:
    """The state of each job, from the queue, else from the accounts."""
    states = dict.fromkeys(jobs, JobState(OVER))
    for line in _ask("sacct", "-n", "-P", "-X", "-j", ",".join(jobs), "-o", "JobID,State,NodeList"):
        job, state, nodes = line.split("|")[:3]
        states[job] = JobState(state.split()[0].lower(), nodes=nodes)
    for line in _ask("squeue", "-h", "--me", "-O", QUEUE_FIELDS):
        job, state, reason, nodes, restarts = line.split("|")[:5]
        states[job] = JobState(state.lower(), "" if reason == "None" else reason, nodes, restarts)
    return {job: states[job] for job in jobs}


def progress(run: Path) -> Progress:
    """How far a run is; zeros before its first metrics."""
    lines = [line for line in tail(run / "metrics.jsonl", 2) if line.endswith("}")]
    if not lines:
        return Progress()
    entry = json.loads(lines[-1])
    step, samples = int(entry["step"]), entry["samples"]
    steps = _steps(run)
    rate = entry["samples_per_s"]
    left = max(0, steps - step) * samples / step / rate / 3600 if rate else None
    return Progress(step, steps, entry["loss"], rate, left)


def cancel(run: Path) -> str:
    """Have Slurm end a run's newest job, which saves first. Returns its id."""
    job = newest_job(run)
    _ask("scancel", job, must=True)
    return job


def _steps(run: Path) -> int:
    from omegaconf import OmegaConf

    return int(OmegaConf.select(OmegaConf.load(run / "config.yaml"), "train.steps"))


def _ask(*command: str, must: bool = False) -> list[str]:
    """The lines that a Slurm program prints; none if it fails, unless it `must` not."""
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is not on the PATH: run this on a login node of the cluster")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SLURM_SECONDS, check=False)
    if must and done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.splitlines() if done.returncode == 0 else []
