"""What a job that was submitted by hand makes of its words, and of what Slurm gave it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from launch.slurm.task import prepare
from launch.start.job import Job
from mmfm.errors import ConfigError, UserError

ROOT = Path(__file__).parents[3]
GIVEN = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NTASKS": "4",
    "SLURM_CPUS_PER_TASK": "3",
    "SLURM_GPUS_ON_NODE": "2",
}


@pytest.fixture
def words(shards_folder: Path, tmp_path: Path) -> list[str]:
    where = [f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=run"]
    return [*where, "train.global_batch=16", "cluster.processes=9"]  # Slurm knows better


def test_the_script_goes_on_like_one_that_was_submitted(words: list[str], tmp_path: Path) -> None:
    text = prepare("pretrain", str(ROOT / "configs/pretrain/demo.yaml"), words, GIVEN)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    lines = text.splitlines()
    assert not any(line.startswith("#SBATCH") for line in lines)
    srun = next(line for line in lines if line.startswith("srun "))
    assert "--cpus-per-task=3" in srun and "submitit.core._submit" in srun
    assert any("launch.slurm.aftermath" in line for line in lines[lines.index(srun) :])
    (code,) = (tmp_path / "run" / "code").iterdir()
    assert any(line.startswith(f"export PYTHONPATH={code}") for line in lines)


def test_the_job_is_kept_with_what_slurm_gave(words: list[str], tmp_path: Path) -> None:
    prepare("pretrain", str(ROOT / "configs/pretrain/demo.yaml"), words, GIVEN)
    job = DelayedSubmission.load(tmp_path / "run" / "logs" / "4711" / "4711_submitted.pkl").function
    assert isinstance(job, Job)
    cluster = job.typed_config().cluster
    assert (cluster.kind, cluster.nodes, cluster.processes, cluster.cpus, cluster.gpus) == (
        *("slurm", 2, 2),
        *(3, "2"),
    )


def test_a_first_start_that_was_cut_short_is_no_other_job(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requeued before its script was there, the job finds its own logs, and itself in the queue."""
    queue = tmp_path / "bin" / "squeue"
    queue.parent.mkdir()
    monkeypatch.setenv("PATH", f"{queue.parent}:/bin:/usr/bin")
    (tmp_path / "run" / "logs" / "4711").mkdir(parents=True)
    queue.write_text("#!/bin/sh\necho '4711|RUNNING|None|n1|1|N/A|'\n")
    queue.chmod(0o755)
    recipe = str(ROOT / "configs/pretrain/demo.yaml")
    assert "srun" in prepare("pretrain", recipe, words, GIVEN)
    with pytest.raises(UserError, match="has Slurm job 4711 already"):
        prepare("pretrain", recipe, words, {**GIVEN, "SLURM_JOB_ID": "4712"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_CPUS_PER_TASK": None}, "--cpus-per-task is missing"),
        ({"SLURM_NTASKS": "3"}, "3 tasks on 2 nodes"),
        ({"SLURM_JOB_ID": None}, "no Slurm job"),
    ],
)
def test_requests_that_make_no_job_are_refused(
    words: list[str], changes: dict[str, str | None], message: str
) -> None:
    given = {name: value for name, value in {**GIVEN, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        prepare("pretrain", str(ROOT / "configs/pretrain/demo.yaml"), words, given)


def test_a_global_batch_that_does_not_fit_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="global_batch"):
        prepare(
            "pretrain", str(ROOT / "configs/pretrain/demo.yaml"), [*words, "train.global_batch=15"], GIVEN
        )
