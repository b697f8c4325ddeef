"""The sbatch script, as it is shown and would be submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launch.commands import make_job
from launch.slurm import sbatch_script, submit_slurm
from mmfm.config.schema import ClusterConfig, PretrainConfig, RunConfig
from mmfm.errors import ConfigError, UserError

CLUSTER: dict[str, Any] = {
    "kind": "slurm",
    "nodes": 2,
    "processes": 4,
    "cpus": 8,
    "gpus": "a100:4",
    "hours": 1.5,
}


def script(tmp_path: Path, **changes: Any) -> list[str]:
    cluster = ClusterConfig(**{**CLUSTER, **changes})
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="big"), cluster=cluster)
    return sbatch_script(make_job("pretrain", config), cluster).splitlines()


def test_one_task_for_each_gpu_with_its_cores(tmp_path: Path) -> None:
    lines = script(tmp_path)
    assert lines[0] == "#!/bin/bash"
    for wanted in (
        "--nodes=2",
        "--ntasks-per-node=4",
        "--cpus-per-task=8",
        "--gpus-per-node=a100:4",
        "--time=90",
        "--job-name=mmfm-pretrain",
        "--open-mode=append",
        "--requeue",
        "--signal=USR2@90",
    ):
        assert f"#SBATCH {wanted}" in lines
    srun = next(line for line in lines if line.startswith("srun "))
    assert "--kill-on-bad-exit=1" in srun and "--cpus-per-task=8" in srun
    assert f"{tmp_path}/big/logs/%j/%j_%t_log.err" in srun  # a log for each rank
    assert lines.index("export OMP_NUM_THREADS=8") < lines.index(srun)
    assert "export HF_HUB_OFFLINE=1" in lines


def test_site_settings_appear_only_if_given(tmp_path: Path) -> None:
    assert not any("partition" in line or "--mem" in line or "account" in line for line in script(tmp_path))
    setup = ["module load cuda", "export A='b c'"]
    lines = script(tmp_path, partition="gpu", memory_gb=128, setup=setup, extra={"mail-type": "END,FAIL"})
    assert {"#SBATCH --partition=gpu", "#SBATCH --mem=128GB", "#SBATCH --mail-type=END,FAIL"} <= set(lines)
    start = next(number for number, line in enumerate(lines) if line.startswith("srun "))
    assert set(setup) <= set(lines[:start])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpus": 0}, r"cluster\.cpus is not set"),
        ({"gpus": "a100:2"}, "each GPU has one process"),
        ({"gpus": "a100"}, "a type and a number"),
        ({"nodes": 0}, "must be at least 1"),
    ],
)
def test_settings_that_make_no_job_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        script(tmp_path, **change)


def test_without_sbatch_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="big"))
    with pytest.raises(UserError, match="--dry-run"):
        submit_slurm(make_job("pretrain", config), ClusterConfig(**CLUSTER))


def test_with_sbatch_the_same_script_is_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f'#!/bin/sh\n/bin/cp "$1" {tmp_path}/submitted.sh\necho Submitted batch job 4711\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    cluster = ClusterConfig(**CLUSTER)
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="big"), cluster=cluster)
    job = make_job("pretrain", config)
    assert submit_slurm(job, cluster) == "4711"
    assert (tmp_path / "submitted.sh").read_text() == sbatch_script(job, cluster)
    assert (tmp_path / "big" / "logs" / "4711" / "4711_submitted.pkl").is_file()
