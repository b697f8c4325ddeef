"""The links between the nodes of a job: how fast an all-reduce is, and which node keeps it slow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmfm import distributed
from mmfm.training.engine import gather_objects
from mmfm.training.failure import BadNodeError, node_name

MOST_BYTES = 64 * 2**20
PROBE_BYTES = 2**18  # sent first: connections are made then
PATIENCE_SECONDS = 0.5  # a link on which the probe takes longer is measured by it
REPEATS = 3
SLOW = 0.5  # a node whose best link has less than this share of the typical one stands out


@dataclass(frozen=True)
class Link:
    """One measurement between processes: `bytes` in `seconds`."""

    bytes: int
    seconds: float

    @property
    def gbps(self) -> float:
        """Bandwidth in GB/s: bytes of the message over the time that it takes."""
        return self.bytes / self.seconds / 1e9

    @property
    def ms(self) -> float:
        return self.seconds * 1e3


def gradient_bytes(model: nn.Module, bytes_each: int = 4) -> int:
    """Bytes of the gradient of `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad) * bytes_each


def check_links(size: int, floor: float, device: torch.device) -> Link | None:
    """Measure an all-reduce of `size` bytes (at most 64 MiB) over all processes. None in a single one.

    Collective. Below `floor` GB/s all ranks raise `BadNodeError` with the nodes that stand out.
    """
    if distributed.world_size() == 1:
        return None
    size = min(size, MOST_BYTES)
    link = measure(dist.all_reduce, size, device)
    if link.gbps >= floor:
        return link
    guilty, links = slow_nodes(size, floor, device)
    blame = f"slow: {', '.join(guilty)}" if guilty else "no node stands out, is the floor too high?"
    raise BadNodeError(
        f"the all-reduce between {distributed.world_size()} processes has {link.gbps:.3g} GB/s, "
        f"cluster.min_bandwidth is {floor:g}; {blame} (between nodes: {links})",
        guilty,
    )


def slow_nodes(size: int, floor: float, device: torch.device) -> tuple[list[str], str]:
    """Nodes whose links to both neighbours are slow, and all links in words. Collective.

    Neighbours send to each other one pair at a time, the last node and the first as well.
    """
    names: list[str] = gather_objects(node_name())
    speeds = {}
    for a, b in neighbours(list(dict.fromkeys(names))):
        exchange = partial(_exchange, names.index(a), names.index(b))  # one rank speaks for its node
        speeds[a, b] = 2 * measure(exchange, size, device).gbps  # there and back
    words = ", ".join(f"{a} and {b} {speed:.3g} GB/s" for (a, b), speed in speeds.items())
    return outliers(speeds, floor), words or "all on one node"


def neighbours(nodes: list[str]) -> list[tuple[str, str]]:
    """Each node with the next, in a ring; two nodes are one pair."""
    pairs = list(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
    return pairs[: len(nodes) - 1] if len(nodes) < 3 else pairs


def outliers(speeds: dict[tuple[str, str], float], floor: float) -> list[str]:
    """Nodes whose fastest link is below the floor, or far below that of the typical node.

    Of two nodes with a slow link both may be at fault. If more are all below the floor, it is not them.
    """
    best: dict[str, float] = {}
    for pair, speed in speeds.items():
        for node in pair:
            best[node] = max(best.get(node, 0.0), speed)
    typical = statistics.median(best.values()) if best else 0.0
    below = {node for node, speed in best.items() if speed < floor}
    if len(below) == len(best) > 2:
        below = set()
    return [node for node, speed in best.items() if node in below or speed < SLOW * typical]


def measure(send: Callable[[Tensor], object], size: int, device: torch.device) -> Link:
    """The typical time in which `send` passes `size` bytes on, by the slowest rank. Collective."""
    probe = torch.zeros(min(size, PROBE_BYTES) // 4 + 1, device=device)
    _seconds(send, probe)
    seconds = _seconds(send, probe)
    if seconds > PATIENCE_SECONDS:
        return Link(probe.nbytes, seconds)
    data = torch.zeros(size // 4 + 1, device=device)
    return Link(data.nbytes, statistics.median(_seconds(send, data) for _ in range(REPEATS)))


def _exchange(a: int, b: int, data: Tensor) -> None:
    """Send `data` from rank `a` to rank `b` and back; the others do nothing."""
    if distributed.rank() == a:
        dist.send(data, b)
        dist.recv(data, b)
    elif distributed.rank() == b:
        dist.recv(data, a)
        dist.send(data, a)


def _seconds(send: Callable[[Tensor], object], data: Tensor) -> float:
    distributed.barrier()
    began = time.perf_counter()
    send(data)
    if data.is_cuda:
        torch.cuda.synchronize(data.device)
    taken = torch.tensor(time.perf_counter() - began, dtype=torch.float64, device=data.device)
    dist.all_reduce(taken, dist.ReduceOp.MAX)
    return float(taken)
