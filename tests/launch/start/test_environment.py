from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.start import environment
from launch.start.environment import (
    Place,
    clean_environment,
    free_port,
    master_port,
    process_environment,
    rank_environment,
)
from mmfm.config.schema import ClusterConfig
from mmfm.errors import UserError

PAIR = Place(rank=5, world=8, local_rank=1, local_world=4, nodes=("node1", "node2"))
ALONE = Place(rank=0, world=1, local_rank=0, local_world=1, nodes=("node1",))


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


def test_starts_have_ports_of_their_own() -> None:
    assert master_port("4711") == master_port("4711") != master_port("4712")


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", master_port("busy")))
        taken.listen()
        assert free_port("busy") == master_port("busy", 1)


def test_a_rank_of_several_nodes() -> None:
    seen = rank_environment(PAIR, 12345, ClusterConfig())
    assert (seen["RANK"], seen["WORLD_SIZE"], seen["LOCAL_RANK"], seen["LOCAL_WORLD_SIZE"]) == (
        "5",
        "8",
        "1",
        "4",
    )
    assert (seen["MASTER_ADDR"], seen["MASTER_PORT"]) == ("node1", "12345")
    assert "GLOO_SOCKET_IFNAME" not in seen  # only one machine's processes may keep to the loopback


def test_the_network_interface_is_named_to_both_libraries() -> None:
    seen = rank_environment(PAIR, 1, ClusterConfig(interface="ib0"))
    assert seen["NCCL_SOCKET_IFNAME"] == "ib0" == seen["GLOO_SOCKET_IFNAME"]
    alone = rank_environment(ALONE, 1, ClusterConfig(interface="ib0"))
    assert "NCCL_SOCKET_IFNAME" not in alone and alone.get("GLOO_SOCKET_IFNAME", "lo") == "lo"


def test_caches_and_temporary_files_go_to_the_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    (tmp_path / "7").mkdir()
    seen = rank_environment(ALONE, 1, ClusterConfig(scratch=f"{tmp_path}/$SLURM_JOB_ID"))
    assert Path(seen["TMPDIR"]).is_dir()
    assert seen["TMPDIR"].startswith(f"{tmp_path}/7/") and seen["TRITON_CACHE_DIR"].startswith(seen["TMPDIR"])


def test_a_scratch_folder_of_an_unknown_variable_is_refused() -> None:
    with pytest.raises(UserError, match=r"cluster\.scratch=/x/\$NO_SUCH_VARIABLE"):
        rank_environment(ALONE, 1, ClusterConfig(scratch="/x/$NO_SUCH_VARIABLE"))


def test_the_recipes_environment_goes_over_ours() -> None:
    seen = process_environment(4, ClusterConfig(environment={"NCCL_DEBUG": "WARN", "HF_HUB_OFFLINE": "0"}))
    assert (seen["OMP_NUM_THREADS"], seen["NCCL_DEBUG"], seen["HF_HUB_OFFLINE"]) == ("4", "WARN", "0")


def test_ranks_of_a_node_follow_each_other() -> None:
    assert [PAIR.node_of(rank) for rank in range(8)] == ["node1"] * 4 + ["node2"] * 4
    assert (PAIR.master, PAIR.node, ALONE.master) == ("node1", "node2", "127.0.0.1")


def test_an_enclosing_job_does_not_leak() -> None:
    own = {"PATH": os.environ["PATH"], "RANKING": "1", "CUDA_VISIBLE_DEVICES": "1", "SLURM_CONF": "x"}
    leaks = {
        "RANK": "3",
        "LOCAL_RANK": "3",
        "SUBMITIT_EXECUTOR": "slurm",
        "MMFM_JOB": "7",
        "MASTER_PORT": "1",
    }
    assert clean_environment({**own, **leaks}) == own
