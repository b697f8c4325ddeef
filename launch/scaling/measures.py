"""What `mmfm bench scaling` measures: from the folders of runs of several sizes to one file of numbers.

Everything follows from what a training run leaves, its journal and metrics.jsonl, so that numbers can be
collected again from the folders alone. None stands for what a run does not tell.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from launch.watching.chronicle import Chronicle
from mmfm.errors import DataError
from mmfm.files import write_atomically
from mmfm.reports.runs import Run, find_runs
from mmfm.training.journal import Event, Start
from mmfm.training.runfolder import RunFolder

SCHEMA = 1
MACHINE = (
    "mmfm",
    "python",
    "packages",
    "git",
    "devices",
    "cpus",
)  # what env.json tells that is worth keeping


@dataclass(frozen=True)
class Size:
    """How large one run of the benchmark is."""

    nodes: int
    processes: int  # on each node
    global_batch: int

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.nodes * self.processes

    def __str__(self) -> str:
        return f"{self.nodes} x {self.processes}"


@dataclass(frozen=True)
class Measured:
    """One run. Times are in seconds; rates count samples over all processes."""

    size: Size
    folder: str
    steps: int = 0  # done
    samples_per_s: float | None = None  # without the first report of each start, and without saves
    data_wait_share: float | None = None  # of that time
    allreduce_ms: float | None = None
    allreduce_gbps: float | None = None
    save_seconds: float | None = None  # that training stands still for a checkpoint, median
    saves: int = 0
    queue_seconds: float | None = None  # from submission until the first start began
    submit_seconds: float | None = None  # from submission until the first step was done
    requeue_seconds: float | None = None  # from having saved on request until the next start's first step
    starts: int = 0
    failures: int = 0
    problem: str = ""  # why numbers are missing, or not to be trusted

    @property
    def per_process(self) -> float | None:
        """Samples per second of each process, which is one device where there are devices."""
        return None if self.samples_per_s is None else self.samples_per_s / self.size.world


@dataclass(frozen=True)
class Scaling:
    """A finished benchmark: its runs from the smallest on, when, and on what."""

    date: str  # YYYY-MM-DD HH:MM
    recipe: str
    mode: str  # weak: the batch grows with the processes; strong: it stays
    runs: list[Measured]
    machine: dict[str, Any] = field(default_factory=dict)

    def efficiency(self, run: Measured) -> float | None:
        """Speed of each process as a share of that in the smallest run that has one."""
        rates = [one.per_process for one in self.runs if one.per_process]
        return run.per_process / rates[0] if rates and run.per_process is not None else None

    def write(self, path: Path) -> None:
        """Write the result file, with what follows from its numbers beside them."""
        runs = [
            {**asdict(run), "samples_per_s_per_process": run.per_process, "efficiency": self.efficiency(run)}
            for run in self.runs
        ]
        values = {"schema": SCHEMA, **asdict(self), "runs": runs}
        write_atomically(path, json.dumps(values, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Scaling:
        """A result file. Raises `DataError` naming it if it is none."""
        try:
            values = json.loads(path.read_text())
            runs = [Measured(**{**_known(run), "size": Size(**run["size"])}) for run in values.pop("runs")]
            values.pop("schema")
            return cls(runs=runs, **values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no result file of `mmfm bench scaling`: {error!r}") from error

    def __str__(self) -> str:
        lines = [f"{self.date}, {self.recipe}, {self.mode} scaling"]
        rows = [COLUMNS, *(self._row(run) for run in self.runs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines += [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        lines += [f"{run.size}: {run.problem}" for run in self.runs if run.problem]
        return "\n".join(lines)

    def _row(self, run: Measured) -> tuple[str, ...]:
        return (
            str(run.size),
            str(run.size.global_batch),
            shown(run.samples_per_s),
            shown(run.per_process),
            shown(self.efficiency(run), digits=2),
            shown(run.data_wait_share, digits=3),
            shown(run.allreduce_ms),
            shown(run.allreduce_gbps, digits=2),
            shown(run.save_seconds, digits=2),
            shown(run.queue_seconds),
            shown(run.submit_seconds),
            shown(run.requeue_seconds),
        )


COLUMNS = (
    *("size", "batch", "samples/s", "of each", "efficiency", "data wait", "all-reduce ms", "GB/s", "save s"),
    *("queue s", "1st step s", "requeue s"),
)


def shown(value: float | None, digits: int = 1) -> str:
    """A number of a table; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def collect(recipe: str, mode: str, folders: Sequence[tuple[Size, Path]]) -> Scaling:
    """Measure the runs in `folders`, whatever state they are in."""
    found = {folder: find_runs(folder) if folder.is_dir() else [] for _, folder in folders}
    runs = [measure(size, folder, found[folder][0] if found[folder] else None) for size, folder in folders]
    environments = [one.env for several in found.values() for one in several if one.env]
    machine = (
        {name: environments[0][name] for name in MACHINE if name in environments[0]} if environments else {}
    )
    return Scaling(
        date=time.strftime("%Y-%m-%d %H:%M"),
        recipe=recipe,
        mode=mode,
        runs=sorted(runs, key=lambda run: run.size.world),
        machine=machine,
    )


def measure(size: Size, folder: Path, run: Run | None) -> Measured:
    """What one run of the benchmark tells. `run` is what its folder holds, None if nothing."""
    events = RunFolder(folder).journal.events()
    if run is None or not events:
        return Measured(size, str(folder), problem="it never started")
    starts = by_start(events)
    rate, wait = steady_rate(
        run.metrics, size.global_batch, [e.values["step"] for e in _all(events, "stepped")]
    )
    ready, saved = _all(events, "ready"), _all(events, "saved")
    submitted, began, stepped = (_first(events, name) for name in ("submitted", "start", "stepped"))
    return Measured(
        size=size,
        folder=str(folder),
        steps=max((line["step"] for line in run.metrics), default=0),
        samples_per_s=rate,
        data_wait_share=wait,
        allreduce_ms=_median(event.values.get("allreduce_ms") for event in ready),
        allreduce_gbps=_median(event.values.get("allreduce_gbps") for event in ready),
        save_seconds=_median(event.values.get("seconds") for event in saved),
        saves=len(saved),
        queue_seconds=_between(submitted, began),
        submit_seconds=_between(submitted, stepped),
        requeue_seconds=_median(requeue_times(starts)),
        starts=len(starts),
        failures=Chronicle(list(events)).failures,
        problem=_problem(size, run, events, rate),
    )


def by_start(events: Sequence[Event]) -> list[list[Event]]:
    """The events of each start that claimed the run, in the order of the claims."""
    starts: dict[Start, list[Event]] = {}
    for event in events:
        if event.name == "start":
            starts[event.start] = []
        if event.start in starts:
            starts[event.start].append(event)
    return list(starts.values())


def requeue_times(starts: Sequence[Sequence[Event]]) -> list[float | None]:
    """For each start that left to be started again: seconds until the next one's first step was done."""
    gone = [(_first(before, "left"), after) for before, after in pairwise(starts)]
    return [_between(left, _first(after, "stepped")) for left, after in gone if left]


def steady_rate(
    metrics: Sequence[dict[str, Any]], global_batch: int, first_steps: Iterable[int]
) -> tuple[float | None, float | None]:
    """Samples per second and share of waiting for data over all reports but the first of each start.

    `first_steps` are the steps that were the first of a start: what warms up there is no matter of scale.
    """
    firsts = set(first_steps)
    samples = seconds = waited = 0.0
    before = 0
    for line in metrics:
        covered = range(before + 1, line["step"] + 1)
        before = line["step"]
        if firsts.intersection(covered) or not line["samples_per_s"]:
            continue
        samples += len(covered) * global_batch
        took = len(covered) * global_batch / line["samples_per_s"]
        seconds += took
        waited += took * line["data_wait_share"]
    return (samples / seconds, waited / seconds) if seconds else (None, None)


def _problem(size: Size, run: Run, events: Sequence[Event], rate: float | None) -> str:
    """What the reader of the numbers must know; the worst thing only."""
    chronicle = Chronicle(list(events))
    began = _first(events, "start")
    found = len(began.values.get("nodes", [])) if began else 0
    if not chronicle.done:
        return f"it is not done{f': {chronicle.last_cause}' if chronicle.last_cause else ''}"
    if run.get("train.global_batch") != size.global_batch:
        return f"the folder holds a run with a global batch of {run.get('train.global_batch')}"
    if found and found != size.nodes:
        return f"it ran on {found} nodes"
    if chronicle.failures:
        causes = [str(event.values.get("cause")) for event in _all(events, "failed")]
        return f"it failed in between: {causes[-1] if causes else 'a start ended without a word'}"
    return "" if rate else "it is too short: every report covers the first step of a start"


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in Measured.__dataclass_fields__ if name in values}


def _all(events: Sequence[Event], name: str) -> list[Event]:
    return [event for event in events if event.name == name]


def _first(events: Sequence[Event], name: str) -> Event | None:
    return next(iter(_all(events, name)), None)


def _between(before: Event | None, after: Event | None) -> float | None:
    return after.time - before.time if before and after else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
