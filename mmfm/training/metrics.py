"""What a run says of itself while it trains: `metrics.jsonl`, TensorBoard and a line of progress."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from mmfm.errors import CheckpointError
from mmfm.files import write_atomically
from mmfm.progress import say


@dataclass
class Meter:
    """Time spent between two reports: in all, and waiting for data."""

    started: float
    waited: float = 0.0
    samples: int = 0

    @classmethod
    def start(cls) -> Meter:
        return cls(time.perf_counter())

    def add(self, samples: int) -> None:
        """Count one step of `samples` over all ranks."""
        self.samples += samples

    def leave_out(self, seconds: float) -> None:
        """Take time that was not training (a save) out of the rates."""
        self.started += seconds

    def rates(self) -> dict[str, float]:
        """Samples per second over all ranks, and the share of time spent waiting for data."""
        elapsed = time.perf_counter() - self.started
        return {"samples_per_s": self.samples / elapsed, "data_wait_share": self.waited / elapsed}


def memory_mb() -> float:
    """Peak memory of this process in MiB: of the device where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


class MetricsWriter:
    """Appends one line per report to `metrics.jsonl` and TensorBoard. Only rank 0 has one.

    On continuing at `step`, lines after it (written by a run that died before its next save) are dropped,
    so that the file holds every step once. A full disk does not end training: lines are written when there is
    room again, and TensorBoard goes without the rest of this start.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int, total: int) -> None:
        write_atomically(path, "".join(_lines_up_to(path, step)))
        self._file = path.open("a")
        self._board: SummaryWriter | None = SummaryWriter(
            str(tensorboard), purge_step=step + 1 if step else None
        )
        self._total = total

    def close(self) -> None:
        """Flush and close the files."""
        with _room_wanted("metrics.jsonl"):
            self._file.close()
        with _room_wanted("TensorBoard's file"):
            if self._board is not None:
                self._board.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record `values` at `step` (optimizer steps done)."""
        with _room_wanted("metrics.jsonl"):  # what is not written stays in the file's buffer
            self._file.write(json.dumps({"step": step, **values, "time": time.time()}) + "\n")
            self._file.flush()
        board, self._board = self._board, None
        with _room_wanted("TensorBoard's file, which gets no more of this start"):
            if board is not None:
                for name, value in values.items():
                    board.add_scalar(name, value, step)
                self._board = board
        shown = ", ".join(f"{name} {values[name]:.4g}" for name in ("loss", "lr", "samples_per_s"))
        say(f"step {step} of {self._total}: {shown}")


@contextmanager
def _room_wanted(what: str) -> Iterator[None]:
    """Say an error of writing `what` instead of raising it."""
    try:
        yield
    except OSError as error:
        say(f"warning: {what} could not be written: {error}")


def _lines_up_to(path: Path, step: int) -> list[str]:
    """Lines of a JSONL file up to `step`; a last line cut short by a kill is dropped.

    Raises `CheckpointError` that names a line which is not JSON.
    """
    kept = []
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, LookupError, TypeError) as error:
            raise CheckpointError(
                f"line {number} of {path} is no line of metrics ({error}): mend or delete it"
            ) from error
    return kept
