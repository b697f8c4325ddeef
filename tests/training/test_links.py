"""Links between three ranks that take themselves for nodes."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import torch
from forked_ranks import RankForker

from mmfm.training import links
from mmfm.training.failure import BadNodeError
from mmfm.training.links import Link, check_links, gradient_bytes, neighbours, outliers

SIZE = 100_000


def check(rank: int, world: int, floor: float, bad: int) -> tuple[str, Any]:
    """What `check_links` says where all that the node of rank `bad` sends and gets takes long."""
    os.environ["SLURMD_NODENAME"] = f"n{rank}"
    torch.distributed.init_process_group("gloo")
    exchange = links._exchange

    def slow(a: int, b: int, data: torch.Tensor) -> None:
        if bad in (a, b):
            time.sleep(0.2)
        exchange(a, b, data)

    links._exchange = slow
    try:
        return "fine", check_links(SIZE, floor, torch.device("cpu"))
    except BadNodeError as error:
        return str(error), error.nodes


def test_all_ranks_get_the_speed_or_the_node_that_is_at_fault() -> None:
    with RankForker() as forker:
        said, speed = zip(*forker.run(check, 3, 0.0, 1), strict=True)
        assert set(said) == {"fine"} and len(set(speed)) == 1
        assert SIZE <= speed[0].bytes < SIZE + 10 and speed[0].gbps > 0
        said, guilty = zip(*forker.run(check, 3, 1e6, 1), strict=True)
        assert guilty == (["n1"],) * 3
        assert "GB/s, cluster.min_bandwidth is 1e+06; slow: n1 (between nodes: n0 and n1 " in said[0]
        assert forker.run(check, 1, 1e6, 0) == [("fine", None)]


def test_bandwidth_is_bytes_over_seconds() -> None:
    link = Link(2_000_000, 0.004)
    assert link.gbps == pytest.approx(0.5) and link.ms == pytest.approx(4.0)


def test_neighbours_are_a_ring() -> None:
    assert neighbours(["a"]) == []
    assert neighbours(["a", "b"]) == [("a", "b")]
    assert neighbours(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("c", "a")]


@pytest.mark.parametrize(
    ("speeds", "guilty"),
    [
        ({}, []),
        ({"ab": 1.0}, ["a", "b"]),
        ({"ab": 9.0}, []),
        ({"ab": 1.0, "bc": 1.0, "ca": 9.0}, ["b"]),
        ({"ab": 9.0, "bc": 2.2, "cd": 2.2, "da": 9.0}, ["c"]),  # above the floor, and yet the one
        ({"ab": 1.0, "bc": 1.0, "cd": 1.0, "de": 9.0, "ea": 9.0}, ["b", "c"]),
        ({"ab": 1.0, "bc": 1.0, "cd": 1.0, "da": 1.0}, []),  # all of the network
    ],
)
def test_nodes_without_any_fast_link_stand_out(speeds: dict[str, float], guilty: list[str]) -> None:
    assert outliers({(a, b): speed for (a, b), speed in speeds.items()}, floor=2.0) == guilty


def test_only_what_is_trained_has_a_gradient() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2).requires_grad_(False))
    assert gradient_bytes(model) == 8 * 4
    assert gradient_bytes(model, 2) == 8 * 2
