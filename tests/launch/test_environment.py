from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch import environment
from launch.environment import Place, clean_environment, free_port, master_port, rank_environment


@given(st.text(), st.integers(0, 100))
def test_ports_are_below_those_that_the_system_hands_out(job_id: str, attempt: int) -> None:
    assert 10000 <= master_port(job_id, attempt) < 32768


@pytest.mark.parametrize(("start", "end"), [(16000, 16000), (1024, 32768)])
def test_ports_keep_out_of_a_wider_ephemeral_range_if_they_can(
    monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    monkeypatch.setattr(environment, "_ephemeral_start", lambda: start)
    ports = {master_port(str(job)) for job in range(200)}
    assert all(10000 <= port < end for port in ports)
    assert len(ports) > 150


def test_every_node_finds_the_same_port() -> None:
    assert master_port("4711") == master_port("4711") != master_port("4712")


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", master_port("busy")))
        assert free_port("busy") == master_port("busy", 1)


def test_a_rank_of_several_nodes() -> None:
    seen = rank_environment(Place(rank=5, world=8, local_rank=1, local_world=4, master="node1"), 12345)
    assert (seen["RANK"], seen["WORLD_SIZE"], seen["LOCAL_RANK"], seen["LOCAL_WORLD_SIZE"]) == (
        "5",
        "8",
        "1",
        "4",
    )
    assert (seen["MASTER_ADDR"], seen["MASTER_PORT"]) == ("node1", "12345")
    assert "GLOO_SOCKET_IFNAME" not in seen  # only one machine's processes may keep to the loopback


def test_an_enclosing_job_does_not_leak() -> None:
    inherited = {"RANK": "3", "SUBMITIT_EXECUTOR": "slurm", "MASTER_PORT": "1", "PATH": os.environ["PATH"]}
    assert clean_environment(inherited) == {"PATH": os.environ["PATH"]}
