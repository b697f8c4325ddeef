"""Runs as seen from their folders: in which state, on which nodes, how far, and what keeps them.

No shell that submitted them has to stay open.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.local.follow import tail
from launch.slurm.queue import UNKNOWN, JobState, job_states
from launch.watching.chronicle import Chronicle
from launch.watching.runjobs import RunJobs
from launch.watching.wording import duration, host_names
from mmfm.config.load import read_yaml
from mmfm.errors import ConfigError, DataError, UserError
from mmfm.training.beat import Beat, doing, read_beats
from mmfm.training.journal import Start
from mmfm.training.runfolder import RunFolder

QUIET_SECONDS = 60.0  # without new metrics, after which it is told where the ranks are


@dataclass(frozen=True)
class Progress:
    """How far a run is, from its config and the last line of its metrics."""

    step: int = 0
    steps: int = 0
    loss: float | None = None
    samples_per_s: float = 0.0
    seconds_left: float | None = None
    age: float = float("inf")  # seconds since that line was written


@dataclass(frozen=True)
class RunStatus:
    """One run, as it stands."""

    run: Path
    job: str  # the one that runs, or else waits, or else was the last
    state: str
    nodes: str
    starts: int
    failures: int
    progress: Progress
    note: str  # what it waits for, what it does where it is slow, or why it last stopped


@dataclass(frozen=True)
class Overview:
    """The runs, and what could not be found out."""

    runs: list[RunStatus]
    trouble: str = ""


def overview(runs: Sequence[Path]) -> Overview:
    """How the runs in these folders stand. Slurm is asked once for all of them."""
    jobs = [RunJobs.of(run) for run in runs]
    on_slurm = [name for each in jobs for name in each.on_slurm]
    trouble = ""
    try:
        states = job_states(on_slurm) if on_slurm else {}
    except UserError as error:
        trouble = f"the queue is not known: {error}"
        states = dict.fromkeys(on_slurm, JobState(UNKNOWN))
    return Overview([status(each, states) for each in jobs], trouble)


def status(jobs: RunJobs, states: dict[str, JobState]) -> RunStatus:
    """How one run stands. `states`: those of its jobs on Slurm."""
    chronicle = Chronicle.of(jobs.run)
    job = current_job(jobs, states, chronicle)
    state = states.get(job) or jobs.local_state(job)
    done = progress(jobs.run)
    return RunStatus(
        run=jobs.run,
        job=job,
        state=_shown_state(job, state, chronicle),
        nodes=_nodes(state, chronicle),
        starts=len(chronicle.starts) or (state.restarts + 1 if state.running else 0),
        failures=chronicle.failures,
        progress=done,
        note=_note(jobs, job, state, chronicle, done),
    )


def log_file(run: Path, rank: int, job: str = "", must_exist: bool = True) -> Path:
    """The log of one rank of a job of a run, by default of the job that `mmfm status` shows.

    Raises `DataError` naming the jobs, or the ranks that have a log.
    """
    jobs = RunJobs.of(run)
    job = job or overview([run]).runs[0].job
    path = jobs.log(job, rank)
    if must_exist and not path.exists():
        ranks = jobs.ranks(job)
        known = f"ranks with one: {', '.join(map(str, ranks))}" if ranks else "the job has not started"
        raise DataError(f"no log of rank {rank} in {path.parent}: {known}")
    return path


def current_job(jobs: RunJobs, states: dict[str, JobState], chronicle: Chronicle) -> str:
    """The job that runs, or the first that waits, or the last that did something, or the newest."""
    queued = [name for name in jobs.names if name in states and states[name].queued]
    active = [name for name in queued if states[name].running] or queued
    if active:
        return active[0]
    known = [name for name in chronicle.jobs if name in jobs.names]
    return known[-1] if known else jobs.names[-1]


def progress(run: Path) -> Progress:
    """How far a run is; zeros before its first metrics, and for a folder in disorder."""
    lines = [line for line in tail(RunFolder(run).metrics, 2) if line.endswith("}")]
    try:
        entry = json.loads(lines[-1])
        step, samples, rate = int(entry["step"]), entry["samples"], entry["samples_per_s"]
        steps = int(read_yaml(RunFolder(run).config).train.steps)
        left = max(0, steps - step) * samples / step / rate if rate else None
        return Progress(step, steps, entry["loss"], rate, left, time.time() - entry["time"])
    except (ConfigError, LookupError, ValueError):
        return Progress()


def _shown_state(job: str, state: JobState, chronicle: Chronicle) -> str:
    """The job's state, and where the journal knows more, the run's."""
    if chronicle.done:
        return "done"
    if chronicle.given_up:
        return "given up"
    if state.running and chronicle.starts and not chronicle.training(Start(job, state.restarts)):
        return "starting"
    if state.state == "completed" and chronicle.starts:
        return "stopped"  # saved and left before its last step, and not requeued
    return state.state


def _nodes(state: JobState, chronicle: Chronicle) -> str:
    """As Slurm writes them, or from the journal for a local run."""
    if state.nodes or not state.running or not chronicle.starts:
        return state.nodes
    hosts = chronicle.starts[-1].values.get("nodes", [])
    return host_names(hosts) if isinstance(hosts, list) else ""


def _note(jobs: RunJobs, job: str, state: JobState, chronicle: Chronicle, done: Progress) -> str:
    if state.reason:
        expected = f", expected {state.expected.replace('T', ' ')}" if state.expected else ""
        return f"waits for {state.reason}{expected}"
    if state.running and done.age > QUIET_SECONDS and chronicle.starts:
        slowest = _slowest(read_beats(jobs.folder(job), chronicle.starts[-1].start.count))
        if slowest:
            return slowest
    return chronicle.last_cause


def _slowest(beats: Sequence[Beat]) -> str:
    """Which rank has been where for longest, if that is long."""
    if not beats:
        return ""
    beat = min(beats, key=lambda beat: beat.since)
    seconds = time.time() - beat.since
    if seconds < QUIET_SECONDS:
        return ""
    return f"rank {beat.rank} on {beat.node}: {doing(beat.phase, beat.step)} for {duration(seconds)}"
