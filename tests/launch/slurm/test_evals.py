"""Evaluations that a training job submits: what they run, where, and with whose environment."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from launch.recipes.commands import load_config, make_job
from launch.slurm.evals import EvalSubmitter, fresh_environment
from mmfm.config.schema import EvalsConfig
from mmfm.errors import ConfigError

ROOT = Path(__file__).parents[3]
EVALUATE = ROOT / "configs/evaluate/demo.yaml"
WORDS = ["model.preset=demo", "data.shards=s", "run.name=r", "evals.every=4", f"evals.recipe={EVALUATE}"]


def settled(*words: str) -> EvalsConfig:
    config = load_config("pretrain", None, [*WORDS, "cluster=testbed", *words])
    return EvalsConfig(**make_job("pretrain", config).config["evals"])


def test_a_job_carries_what_its_evaluations_run() -> None:
    words = ["evals.set.suites=[probe]", "run.root=/x", "cluster.nodes=3", "cluster.memory_gb=9"]
    found = settled(*words, "data.shards='/data/a: b #1'")
    assert (found.recipe, found.cluster) == ("", "")
    assert found.set["suites"] == ["probe"] and found.set["shards"] == "/data/a: b #1"
    assert found.set["run"] == {"name": "r", "root": "/x"}
    place = found.set["cluster"]
    assert (place["nodes"], place["processes"], place["gpus"], place["memory_gb"]) == (1, 1, "1", 5)
    assert place["partition"] == "main"  # the run's own profile but for the size


def test_a_submission_of_what_was_submitted_before_is_the_same() -> None:
    config = load_config("pretrain", None, [*WORDS, "cluster=testbed", "evals.set.suites=[probe]"])
    job = make_job("pretrain", config)
    assert make_job("pretrain", job.typed_config()).config["evals"] == job.config["evals"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("evals.recipe=nowhere.yaml", "evals: recipe nowhere.yaml not found"),
        ("evals.set.suitess=[probe]", "evals: unknown key 'suitess'"),
        ("evals.cluster=nowhere", "evals: cluster=nowhere"),
        ("evals.cluster=local", "evals: cluster=local is a profile of this machine"),
    ],
)
def test_mistakes_are_found_before_the_run_waits(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settled(word)


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to the submitting process: config and environment. It answers with a job."""
    found = []

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        found.append({"config": json.loads(how["input"]), "env": how["env"]})
        return subprocess.CompletedProcess(command, 0, "77\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    return found


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """Checkpoints of the steps 2, 4, 6 and 8."""
    folder = tmp_path / "r" / "checkpoints"
    for step in (2, 4, 6, 8):
        (folder / f"step_{step:08d}").mkdir(parents=True)
    return folder


def save(submit: EvalSubmitter, checkpoints: Path) -> None:
    submit(checkpoints / "step_00000008", 8)
    for thread in threading.enumerate():
        if thread.name == "submit-evaluation":
            thread.join(20)


def test_only_set_steps_are_evaluated_and_only_once(
    checkpoints: Path, submitted: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    submit = EvalSubmitter(settled(f"run.root={checkpoints.parents[1]}"))
    save(submit, checkpoints)
    names = sorted(Path(one["config"]["checkpoint"]).name for one in submitted)
    assert names == ["step_00000004", "step_00000008"]
    assert "evaluation of step_00000004 submitted as Slurm job 77" in capsys.readouterr().err
    save(submit, checkpoints)
    assert len(submitted) == 2


def test_a_submission_that_fails_is_said_and_tried_again_after_the_next_save(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [subprocess.CompletedProcess([], 2, "", "mmfm: error: the queue is full\n")] * 2

    def run(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return answers.pop() if answers else subprocess.CompletedProcess([], 0, "78\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    submit = EvalSubmitter(settled(f"run.root={checkpoints.parents[1]}"))
    save(submit, checkpoints)
    assert capsys.readouterr().err.count("is not submitted: mmfm: error: the queue is full") == 2
    save(submit, checkpoints)
    assert capsys.readouterr().err.count("submitted as Slurm job 78") == 2


def test_an_evaluation_inherits_nothing_of_the_job_it_is_submitted_from() -> None:
    keep = {"SLURM_CONF": "c", "PATH": "p", "PYTHONPATH": "q", "HOME": "h", "MMFM_REAL_DATA": "d"}
    drop = (
        *("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_CONF_SERVER", "SLURMD_NODENAME", "SRUN_DEBUG", "SBATCH_X"),
        *("SUBMITIT_EXECUTOR", "RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT", "MMFM_JOB", "MMFM_START", "TMPDIR"),
        *("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"),
    )
    assert fresh_environment({**keep, **dict.fromkeys(drop, "x")}) == keep
