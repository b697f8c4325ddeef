"""What a node finds wrong with itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from launch.recipes.commands import make_job
from launch.start import nodecheck
from launch.start.environment import Place
from launch.start.nodecheck import check_node, check_run_folder, lacking
from mmfm.config.schema import ClusterConfig, EvaluateConfig, PretrainConfig, RunConfig
from mmfm.errors import UserError
from mmfm.training.journal import Start

PAIR = Place(rank=0, world=2, local_rank=0, local_world=1, nodes=("n1", "n2"))
GPUS = "0, NVIDIA H100 80GB HBM3, 0\n1, NVIDIA H100 80GB HBM3, {errors}\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A nvidia-smi that prints what is written in `shown`, and fails if `broken` is there."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/shown\n[ ! -e {tmp_path}/broken ]\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def wrong(**settings: Any) -> list[str]:
    return check_node(ClusterConfig(**settings), PAIR)


@pytest.mark.parametrize("errors", ["0", "[N/A]"])
def test_gpus_in_health_are_fit(driver: Path, errors: str) -> None:
    (driver / "shown").write_text(GPUS.format(errors=errors))
    assert wrong(gpus="a100:2") == []


def test_missing_gpus_and_memory_errors_are_told(driver: Path) -> None:
    (driver / "shown").write_text(GPUS.format(errors="3"))
    assert wrong(gpus="4") == [
        "2 GPUs are there, 4 were asked for",
        "GPU 1 (NVIDIA H100 80GB HBM3) has 3 uncorrected memory errors",
    ]


def test_a_driver_that_fails_is_quoted(driver: Path) -> None:
    (driver / "shown").write_text("Unable to determine the device handle for GPU 0000:3B:00.0\n")
    (driver / "broken").touch()
    assert wrong(gpus="2") == ["nvidia-smi fails: Unable to determine the device handle for GPU 0000:3B:00.0"]


def test_a_driver_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch, driver: Path) -> None:
    def hang(command: Any, timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(nodecheck.subprocess, "run", hang)
    assert wrong(gpus="2") == ["nvidia-smi does not answer within 60 s"]


def test_gpus_are_looked_at_only_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wrong() == [] == wrong(gpus="2", check_gpus=False)
    assert "is missing, though 2 GPUs" in wrong(gpus="2")[0]


def test_a_scratch_folder_must_be_there_with_room(tmp_path: Path) -> None:
    assert wrong(scratch=str(tmp_path), min_free_gb=0) == []
    assert "No such file" in wrong(scratch=str(tmp_path / "none"))[0]
    assert "GB free (cluster.min_free_gb=1e+09)" in wrong(scratch=str(tmp_path), min_free_gb=1e9)[0]
    assert list(tmp_path.iterdir()) == []


def test_the_interface_must_be_there_if_it_is_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodecheck, "INTERFACES", tmp_path)
    (tmp_path / "eth0").mkdir()
    assert wrong(interface="eth0") == []
    assert wrong(interface="ib0") == ["there is no network interface ib0 (cluster.interface), only eth0"]
    alone = Place(0, 1, 0, 1, ("n1",))
    assert check_node(ClusterConfig(interface="ib0"), alone) == []


def test_folders_that_the_job_reads_must_be_there_with_something_in_them(tmp_path: Path) -> None:
    shards, towers, run = (tmp_path / name for name in ("shards", "towers", "run"))
    config = PretrainConfig(init=str(towers))
    config.data.shards = str(shards)
    shards.mkdir()  # where nothing is mounted
    assert lacking(config, run) == {
        f"data.shards={shards}": "it is empty",
        f"init={towers}": "No such file or directory",
    }
    (shards / "dataset.json").touch()
    (run / "checkpoints" / "step_00000010").mkdir(parents=True)
    assert lacking(config, run) == {}  # the run goes on from its own checkpoint
    evaluation = EvaluateConfig(shards=str(shards), checkpoint=str(towers))
    assert lacking(evaluation, run) == {f"checkpoint={towers}": "No such file or directory"}


def test_a_variable_that_a_node_does_not_have_is_told_like_a_folder(tmp_path: Path) -> None:
    config = EvaluateConfig(shards=str(tmp_path), checkpoint=str(tmp_path))
    config.cluster.scratch = "/x/$NO_SUCH_VARIABLE"
    (tmp_path / "file").touch()
    ((setting, why),) = lacking(config, tmp_path).items()
    assert setting == "cluster.scratch=/x/$NO_SUCH_VARIABLE" and "does not have" in why
    assert wrong(scratch=config.cluster.scratch) == []


def test_a_full_run_folder_is_for_people(tmp_path: Path) -> None:
    check_run_folder(tmp_path, 0)
    with pytest.raises(UserError, match=r"make room there"):
        check_run_folder(tmp_path, 1e9)


def test_a_job_looks_for_its_data_before_it_begins(tmp_path: Path) -> None:
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="run"))
    config.data.shards = str(tmp_path / "none")
    config.cluster.min_free_gb = 0
    (tmp_path / "run").mkdir()
    alone = Place(0, 1, 0, 1, ("n1",))
    with pytest.raises(UserError, match=r"no node of this job has data\.shards"):
        make_job("pretrain", config)._prepare(config, config.cluster, alone, Start("7"), tmp_path / "logs")
