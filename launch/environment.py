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

from mmfm.errors import UserError

LOWEST_PORT = 10000
END_OF_PORTS = 32768  # Linux hands out ports from here on to whoever asks: a fixed port there may be taken
PORT_TRIES = 64


@dataclass(frozen=True)
class Place:
    """Where one process stands among those of its job."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    master: str  # host of rank 0


def process_environment(threads: int) -> dict[str, str]:
    """What must stand before the interpreter starts: math libraries read it when they are loaded."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",  # the stream has threads of its own
        "HF_HUB_OFFLINE": "1",  # hundreds of ranks must not ask a hub at once; weights are local files
        "PYTHONFAULTHANDLER": "1",  # a crash in native code leaves a stack in the log
    }


def rank_environment(place: Place, port: int) -> dict[str, str]:
    """What a process learns about itself and its job, set before torch is imported."""
    return {
        "RANK": str(place.rank),
        "WORLD_SIZE": str(place.world),
        "LOCAL_RANK": str(place.local_rank),
        "LOCAL_WORLD_SIZE": str(place.local_world),
        "MASTER_ADDR": place.master,
        "MASTER_PORT": str(port),
        **_cache_environment(),
        **_loopback_environment(place),
    }


def threads_per_process(cpus: int, processes: int) -> int:
    """CPU threads of each of `processes` on this machine: `cpus`, or an equal share of the cores if 0."""
    return cpus or max(1, len(os.sched_getaffinity(0)) // processes)


def master_port(job_id: str, attempt: int = 0) -> int:
    """A port that follows from the job's id, so that every node finds it without asking.

    It lies below the range from which the system hands out ports of its own accord.
    """
    end = min(END_OF_PORTS, _ephemeral_start())
    if end - LOWEST_PORT < PORT_TRIES:  # a machine that hands out nearly every port
        end = END_OF_PORTS
    digest = hashlib.sha256(f"{job_id}/{attempt}".encode()).digest()
    return LOWEST_PORT + int.from_bytes(digest[:8], "big") % (end - LOWEST_PORT)


def free_port(job_id: str) -> int:
    """The first of the job's ports that is free on this machine."""
    for attempt in range(PORT_TRIES):
        port = master_port(job_id, attempt)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UserError(f"no free port found in {PORT_TRIES} tries between {LOWEST_PORT} and {END_OF_PORTS}")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what an enclosing job says about its own ranks."""
    foreign = re.compile(
        r"(SUBMITIT_.*|RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT)$"
    )
    return {name: value for name, value in environment.items() if not foreign.match(name)}


def _ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return END_OF_PORTS


def _cache_environment() -> dict[str, str]:
    """Compilers' caches on this node and of this user alone: shared folders give stale locks."""
    folder = Path(tempfile.gettempdir()) / f"mmfm-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    caches = {"TORCH_EXTENSIONS_DIR": folder / "torch", "TRITON_CACHE_DIR": folder / "triton"}
    return {name: os.environ.get(name, str(path)) for name, path in caches.items()}


def _loopback_environment(place: Place) -> dict[str, str]:
    """Keep processes of one machine on its loopback: its own host name may resolve to nothing."""
    if place.world > place.local_world or not Path("/sys/class/net/lo").exists():
        return {}
    return {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
