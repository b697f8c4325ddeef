"""What a run says of itself while it trains: `metrics.jsonl`, TensorBoard and a line of progress."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from mmfm.progress import say


@dataclass
class Meter:
    """Time spent between two reports: in all, and waiting for data."""

    started: float
    waited: float = 0.0
    steps: int = 0
    samples: int = 0

    @classmethod
    def start(cls) -> Meter:
        return cls(time.perf_counter())

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
    so that the file holds every step once.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int, total: int) -> None:
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        path.write_text("".join(kept))
        self._file = path.open("a")
        self._board = SummaryWriter(str(tensorboard), purge_step=step + 1 if step else None)
        self._total = total

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._board.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record `values` at `step` (optimizer steps done)."""
        self._file.write(json.dumps({"step": step, **values, "time": time.time()}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        shown = ", ".join(f"{name} {values[name]:.4g}" for name in ("loss", "lr", "samples_per_s"))
        say(f"step {step} of {self._total}: {shown}")


def _lines(path: Path) -> list[str]:
    """Complete lines of a JSONL file; a line cut short by a kill is dropped."""
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
