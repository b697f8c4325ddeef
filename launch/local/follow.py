"""Shows how a running job gets on: a bar from its metrics on a terminal, rank 0's messages in a log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from launch.start.job import Job

STATUS_WIDTH = 48
TAIL_BYTES = 2**16


class Follower(Protocol):
    """What the supervisor calls every now and then."""

    def update(self) -> None:
        """Show what is new."""

    def close(self) -> None:
        """Show the rest and give the terminal back."""


def follower(job: Job, log: Path) -> Follower:
    """A bar for training on a terminal; everything else shows the lines of rank 0's `log`."""
    console = Console(stderr=True)
    steps = job.config.get("train", {}).get("steps")
    if console.is_terminal and steps:
        return TrainingBar(job.command, Path(job.run_folder) / "metrics.jsonl", log, steps, console)
    return LogLines(log)


class Tail:
    """The lines added to a file since it was last asked, or since the start if `from_end` is not set."""

    def __init__(self, path: Path, from_end: bool = False) -> None:
        self.path = path
        self.offset = path.stat().st_size if from_end and path.exists() else 0

    def lines(self) -> Iterator[str]:
        """Yield complete new lines; a line still being written waits for the next call."""
        if not self.path.exists():
            return
        self.offset = min(self.offset, self.path.stat().st_size)  # a continued run cuts its metrics back
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                yield line.decode(errors="replace").rstrip("\n")


class LogLines:
    """Passes rank 0's messages on."""

    def __init__(self, log: Path) -> None:
        self.tail = Tail(log)

    def update(self) -> None:
        """Print the new lines."""
        for line in self.tail.lines():
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print the last lines."""
        self.update()


class TrainingBar:
    """Steps done, loss and speed from the run's metrics; the last message until there are any."""

    def __init__(self, what: str, metrics: Path, log: Path, steps: int, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self.metrics, self.log = Tail(metrics, from_end=True), Tail(log)
        self.progress = Progress(*columns, console=console)
        self.task = self.progress.add_task(what, total=steps, status="starting")
        self.training = False
        self.progress.start()

    def update(self) -> None:
        """Move the bar to the newest line of the metrics."""
        for line in self.log.lines():
            if not self.training and line.strip():
                self.progress.update(self.task, status=line.strip()[:STATUS_WIDTH])
        for line in self.metrics.lines():
            self.training = True
            entry = json.loads(line)
            status = f"loss {entry['loss']:.3f}  {entry['samples_per_s']:.0f} samples/s"
            self.progress.update(self.task, completed=entry["step"], status=status)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.update()
        self.progress.stop()


def tail(path: Path, count: int) -> list[str]:
    """The last `count` lines of a log, of its last 64 KiB; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-count:]
