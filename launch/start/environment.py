"""The environment of every process of a job: ranks, address and port, threads, caches, offline hub.

This is the one place that sets it, for local processes and for Slurm tasks alike.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmfm.config.schema import ClusterConfig
from mmfm.errors import UserError

LOWEST_PORT = 10000
END_OF_PORTS = 32768  # Linux hands out ports from here on to whoever asks: a fixed port there may be taken
PORT_TRIES = 64
LOOPBACK = "127.0.0.1"
# What a process learns of its job and its rank from us, as a regular expression of the variables' names.
OF_A_RANK = r"SUBMITIT_.*|MMFM_(JOB|START|LOGS)|(LOCAL_)?RANK|(LOCAL_)?WORLD_SIZE|MASTER_(ADDR|PORT)"


@dataclass(frozen=True)
class Place:
    """Where one process stands among those of its job."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    nodes: tuple[str, ...]  # by their names in the cluster; rank 0 is on the first

    @property
    def master(self) -> str:
        """The host of rank 0, as the others reach it. A machine on its own may not resolve its own name."""
        return self.nodes[0] if len(self.nodes) > 1 else LOOPBACK

    @property
    def node(self) -> str:
        """The node of this process."""
        return self.node_of(self.rank)

    def node_of(self, rank: int) -> str:
        """The node of a rank: each node has as many, one after the other."""
        return self.nodes[rank // self.local_world]


def process_environment(threads: int, cluster: ClusterConfig) -> dict[str, str]:
    """What must stand before the interpreter starts: math libraries read it when they are loaded."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",  # the stream has threads of its own
        "HF_HUB_OFFLINE": "1",  # hundreds of ranks must not ask a hub at once; weights are local files
        "PYTHONFAULTHANDLER": "1",  # a crash in native code leaves a stack in the log
        **cluster.environment,
    }


def rank_environment(place: Place, port: int, cluster: ClusterConfig) -> dict[str, str]:
    """What a process learns about itself and its job, set before torch is imported."""
    return {
        "RANK": str(place.rank),
        "WORLD_SIZE": str(place.world),
        "LOCAL_RANK": str(place.local_rank),
        "LOCAL_WORLD_SIZE": str(place.local_world),
        "MASTER_ADDR": place.master,
        "MASTER_PORT": str(port),
        **_cache_environment(cluster),
        **_interface_environment(place, cluster),
    }


def threads_per_process(cpus: int, processes: int) -> int:
    """CPU threads of each of `processes` on this machine: `cpus`, or an equal share of the cores if 0."""
    return cpus or max(1, len(os.sched_getaffinity(0)) // processes)


def scratch_folder(cluster: ClusterConfig) -> Path | None:
    """The folder on this node that `cluster.scratch` names, with the job's variables filled in.

    Raises `UserError` for a variable that the job does not have.
    """
    if not cluster.scratch:
        return None
    path = os.path.expandvars(cluster.scratch)
    if "$" in path:
        raise UserError(
            f"cluster.scratch={cluster.scratch} names a variable that the job does not have on "
            f"{socket.gethostname()}: it becomes {path}"
        )
    return Path(path)


def master_port(start: str, attempt: int = 0) -> int:
    """A port that follows from the name of a job's start, so that starts at the same time differ.

    It lies below the range from which the system hands out ports of its own accord.
    """
    end = min(END_OF_PORTS, _ephemeral_start())
    if end - LOWEST_PORT < PORT_TRIES:  # a machine that hands out nearly every port
        end = END_OF_PORTS
    digest = hashlib.sha256(f"{start}/{attempt}".encode()).digest()
    return LOWEST_PORT + int.from_bytes(digest[:8], "big") % (end - LOWEST_PORT)


def free_port(start: str) -> int:
    """The first of a start's ports that nobody on this machine has. Raises `OSError` if there is none."""
    for attempt in range(PORT_TRIES):
        port = master_port(start, attempt)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one just left counts as free
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port found in {PORT_TRIES} tries between {LOWEST_PORT} and {END_OF_PORTS}")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what an enclosing job says about its own ranks."""
    return {name: value for name, value in environment.items() if not re.fullmatch(OF_A_RANK, name)}


def _ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return END_OF_PORTS


def _cache_environment(cluster: ClusterConfig) -> dict[str, str]:
    """Compilers' caches on this node and of this user alone: shared folders give stale locks."""
    scratch = scratch_folder(cluster)
    folder = (scratch or Path(tempfile.gettempdir())) / f"mmfm-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    caches = {"TORCH_EXTENSIONS_DIR": folder / "torch", "TRITON_CACHE_DIR": folder / "triton"}
    found = {name: os.environ.get(name, str(path)) for name, path in caches.items()}
    return {**found, "TMPDIR": str(folder)} if scratch else found


def _interface_environment(place: Place, cluster: ClusterConfig) -> dict[str, str]:
    """Which network interface the processes talk over, if anyone says so.

    Processes of one machine keep to its loopback: its own host name may resolve to nothing.
    """
    interface = cluster.interface
    if len(place.nodes) == 1:
        interface = "lo" if Path("/sys/class/net/lo").exists() else ""
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if len(place.nodes) > 1 else ("GLOO_SOCKET_IFNAME",)
    return {name: os.environ.get(name, interface) for name in names} if interface else {}
