"""What a test cluster consists of: its nodes, their addresses, and where its files lie."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mmfm.errors import UserError

SUBNET = "10.231.0"
FIRST_HOST = 10  # node n1 is SUBNET.11; the head is SUBNET.1
MOST_NODES = 64
RUN = Path("/run")  # a tmpfs of the sandbox: what lies there ends with it, and socket paths stay short
RECORD = "cluster.json"


@dataclass(frozen=True)
class Node:
    """One node: its name is also its host name and that of its network namespace."""

    name: str
    address: str


@dataclass(frozen=True)
class Layout:
    """A cluster below `folder`. Each node claims `cpus` cores and two GPUs, whatever the machine has."""

    folder: str
    nodes: int = 4
    cpus: int = 4
    memory_mb: int = 4000
    accounting: bool = True

    def check(self) -> None:
        """Raise `UserError` for sizes that cannot be."""
        if not 1 <= self.nodes <= MOST_NODES:
            raise UserError(f"{self.nodes} nodes: a test cluster has 1 to {MOST_NODES}")

    @property
    def head(self) -> Node:
        """The host of slurmctld, of the database, and of those who submit."""
        return Node("head", f"{SUBNET}.1")

    @property
    def workers(self) -> list[Node]:
        """The nodes that run jobs."""
        return [Node(f"n{i}", f"{SUBNET}.{FIRST_HOST + i}") for i in range(1, self.nodes + 1)]

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return Path(self.folder) / "etc"

    @property
    def slurm_conf(self) -> Path:
        """What SLURM_CONF names for every Slurm program."""
        return self.etc / "slurm.conf"

    def log(self, daemon: str) -> Path:
        """What a daemon prints and logs."""
        return Path(self.folder) / "log" / f"{daemon}.log"

    @property
    def state(self) -> Path:
        """The keeper's word on how far it is: see `keeper.State`."""
        return Path(self.folder) / "state.json"

    def write(self) -> None:
        """Create the folder and record the layout in it."""
        self.etc.mkdir(parents=True)
        self.log("x").parent.mkdir()
        (Path(self.folder) / RECORD).write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Layout:
        """The layout recorded in `folder`. Raises `UserError` where there is none."""
        try:
            return cls(**json.loads((folder / RECORD).read_text()))
        except FileNotFoundError:
            raise UserError(f"no test cluster at {folder}: start one with `mmfm cluster up`") from None


def default_folder() -> Path:
    """Where a cluster is kept if nobody says otherwise: in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmfm" / "cluster"
