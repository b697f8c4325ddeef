"""Signs of life: where each rank was when it last could tell, for the case that it cannot any more."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Beat:
    """Where a rank is. Times are in seconds since the epoch."""

    rank: int
    node: str
    pid: int
    phase: str  # what it does: "computing", "waiting for data"
    step: int  # of that phase; 0 before the first
    since: float  # when the phase began
    time: float  # of this beat

    def __str__(self) -> str:
        seen = time.time() - self.time
        return f"rank {self.rank} on {self.node}: {doing(self.phase, self.step)}, last seen {seen:.0f} s ago"

    def write(self, folder: Path, start: int) -> None:
        """Put it into a job's log folder, in place of the rank's last. Quick: it is not flushed to disk."""
        path = folder / f"beat_{start}_{self.rank}.json"
        draft = path.with_name(f".{path.name}")
        draft.write_text(json.dumps(asdict(self)) + "\n")
        draft.replace(path)


def doing(phase: str, step: int) -> str:
    """A phase in words."""
    return f"{phase} (step {step})" if step else phase


def read_beats(folder: Path, start: int) -> list[Beat]:
    """The last beat of each rank of one start, by rank."""
    found = [Beat(**json.loads(path.read_text())) for path in folder.glob(f"beat_{start}_*.json")]
    return sorted(found, key=lambda beat: beat.rank)
