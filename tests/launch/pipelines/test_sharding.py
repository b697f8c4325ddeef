"""`mmfm data shard` on Slurm: which jobs, in which order, of which size."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.cli import main

RECIPE = Path(__file__).parents[3] / "configs/data/demo.yaml"


def shard(tmp_path: Path, *words: str) -> int:
    return main(
        [
            "data",
            "shard",
            str(RECIPE),
            f"root={tmp_path}",
            f"output={tmp_path}/shards",
            "cluster=slurm",
            *words,
        ]
    )


def test_an_array_writes_between_a_job_that_plans_and_one_that_merges(
    tmp_path: Path, sbatch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(tmp_path, "pack.tasks=5") == 0
    plan, array, merge = ((sbatch / number).read_text() for number in "123")
    assert "--dependency" not in plan and "--array" not in plan
    assert "--array=0-4%5" in array and "--dependency=afterok:1" in array
    assert "--dependency=afterok:2" in merge and "--kill-on-invalid-dep=yes" in merge
    for script in (plan, array, merge):
        assert "--ntasks-per-node=1" in script and "gpus" not in script
    assert "Slurm job 3 ends it" in capsys.readouterr().out
    assert not (tmp_path / "shards").exists()  # the folder of shards holds shards alone
    assert len(list((tmp_path / "shards.jobs" / "logs").glob("*/*_submitted.pkl"))) == 7


def test_one_task_is_one_job(tmp_path: Path, sbatch: Path) -> None:
    assert shard(tmp_path) == 0
    assert [path.name for path in sbatch.iterdir()] == ["1"]
