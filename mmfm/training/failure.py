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
NODE_VARIABLE = "SLURMD_NODENAME"  # a host's own name need not be the one that Slurm has for it

# user: people must mend it, no use to start again; node: a check of the node failed; hang: the watchdog ended
# it; stale: a later start has the run; crash: anything else; killed and lost: as seen from outside.
KINDS = ("user", "node", "hang", "stale", "crash", "killed", "lost")


class BadNodeError(Exception):
    """Nodes that a job cannot use. `nodes` are those not to be had again; none where it is unclear."""

    def __init__(self, message: str, nodes: list[str]) -> None:
        super().__init__(message, nodes)  # both, so that it can be pickled
        self.nodes = nodes

    def __str__(self) -> str:
        return str(self.args[0])


def node_name() -> str:
    """The name of this machine, as the cluster has it."""
    return os.environ.get(NODE_VARIABLE) or socket.gethostname()


@dataclass(frozen=True)
class Failure:
    """Why one process failed. `bad_nodes` are those that the job should not get again."""

    rank: int
    kind: str
    message: str
    type: str = ""  # of the exception
    node: str = field(default_factory=node_name)
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
