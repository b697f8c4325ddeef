"""What a process that fails leaves behind for people and for the launcher: who, where, and why.

Each process writes `failure_<start>_<rank>.json` into its job's log folder; the launcher reads them.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmfm.files import write_atomically

LOGS_VARIABLE = "MMFM_LOGS"  # the job's log folder

# user: people must mend it, no use to start again; node: a check of the node failed; hang: the watchdog ended
# it; stale: a later start has the run; crash: anything else; killed and lost: as seen from outside.
KINDS = ("user", "node", "hang", "stale", "crash", "killed", "lost")


@dataclass(frozen=True)
class Failure:
    """Why one process failed. `bad_nodes` are those that the job should not get again."""

    rank: int
    kind: str
    message: str
    type: str = ""  # of the exception
    node: str = field(default_factory=socket.gethostname)
    time: float = field(default_factory=time.time)
    bad_nodes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"rank {self.rank} on {self.node}: {self.type + ': ' if self.type else ''}{self.message}"


def log_folder() -> Path | None:
    """The log folder of the job that this process belongs to, as its launcher said; None outside a job."""
    folder = os.environ.get(LOGS_VARIABLE)
    return Path(folder) if folder else None


def leave(folder: Path, start: int, failure: Failure) -> None:
    """Write a process's failure at its start number `start`. The first that it leaves stays."""
    path = folder / f"failure_{start}_{failure.rank}.json"
    if not path.exists():
        write_atomically(path, json.dumps(asdict(failure)) + "\n")


def read_failures(folder: Path, start: int) -> list[Failure]:
    """The failures of one start, first in time first."""
    found = [Failure(**json.loads(path.read_text())) for path in folder.glob(f"failure_{start}_*.json")]
    return sorted(found, key=lambda failure: failure.time)
