"""Cancelling and requeueing a run from outside. What Slurm does then: tests/slurm."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from launch.cli import main
from launch.recipes.commands import make_job
from launch.slurm.script import make_executor, sbatch_script
from launch.slurm.terms import stage_terms
from launch.start.job import Job
from launch.watching import control
from mmfm.config.schema import ClusterConfig, PretrainConfig, RunConfig
from mmfm.errors import UserError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with the jobs 7 and 8, as `mmfm pretrain` submits them; Slurm answers from the file `queue`."""
    folder = tmp_path / "runs" / "a"
    for job in ("7", "8"):
        config = PretrainConfig(run=RunConfig(name="a", root=str(tmp_path / "runs")))
        config.train.seed = int(job)
        (folder / "logs" / job).mkdir(parents=True)
        kept = Job("pretrain", "os:getcwd", "mmfm.config.schema:PretrainConfig", asdict(config), str(folder))
        DelayedSubmission(kept).dump(folder / "logs" / job / f"{job}_submitted.pkl")
    for name in ("squeue", "sacct", "scancel", "scontrol"):
        answer = f'[ {name} != squeue ] || while read line; do echo "$line"; done < {tmp_path}/queue'
        (tmp_path / name).write_text(
            f"#!/bin/sh\n[ {name} = squeue ] || echo {name} $@ >> {tmp_path}/told\n{answer}\n"
        )
        (tmp_path / name).chmod(0o755)
    (tmp_path / "queue").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    return folder


def told(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []
    return [line for line in lines if not line.startswith("sacct")]


def test_cancel_ends_waiting_jobs_first(run: Path, tmp_path: Path) -> None:
    (tmp_path / "queue").write_text("7|RUNNING|None|n1|0|N/A|\n8|PENDING|Dependency||0|N/A|\n")
    assert main(["cancel", str(run)]) == 0
    assert told(tmp_path) == ["scancel 8", "scancel 7"]


def test_what_is_over_cannot_be_cancelled(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", str(run)]) == 2
    assert "no job of" in capsys.readouterr().err and not told(tmp_path)


def test_a_running_job_is_requeued(run: Path, tmp_path: Path) -> None:
    (tmp_path / "queue").write_text("7|RUNNING|None|n1|0|N/A|\n")
    assert main(["requeue", str(run)]) == 0
    assert told(tmp_path) == ["scontrol requeue 7"]


def test_a_running_job_of_a_chain_leaves_for_the_next_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slurm would refuse to requeue it."""
    cluster = ClusterConfig(kind="slurm", cpus=1, chain=2)
    job = make_job("pretrain", PretrainConfig(run=RunConfig(name="a", root=str(tmp_path / "runs"))))
    for name in ("7", "8"):
        (run / "logs" / name / f"{name}_submission.sh").write_text(sbatch_script(job, cluster))
    (tmp_path / "queue").write_text("7|RUNNING|None|n1|0|N/A|\n8|PENDING|Dependency||0|N/A|\n")
    assert main(["requeue", str(run)]) == 0
    assert told(tmp_path) == ["scancel --signal=USR2 7"]
    (tmp_path / "queue").write_text("8|RUNNING|None|n1|0|N/A|\n")
    assert main(["requeue", str(run)]) == 2
    assert "job 8 is the last of its chain" in capsys.readouterr().err
    assert len(told(tmp_path)) == 1


def test_a_member_of_a_pipeline_is_not_submitted_without_its_record(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "submit", lambda *_: pytest.fail("it was submitted"))
    job = make_job("pretrain", PretrainConfig(run=RunConfig(name="a", root=str(tmp_path / "runs"))))
    executor = make_executor(job, ClusterConfig(kind="slurm", cpus=1), stage_terms(tmp_path / "p", "train"))
    (run / "logs" / "8" / "8_submission.sh").write_text(executor.script())
    with pytest.raises(
        UserError, match=rf"is train of the pipeline or sweep in {tmp_path}/p: .*mmfm pipeline"
    ):
        control.requeue(run)


def test_a_waiting_job_is_left_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "queue").write_text("8|PENDING|Priority||0|N/A|\n")
    assert main(["requeue", str(run)]) == 2
    assert "in the queue already (Priority)" in capsys.readouterr().err and not told(tmp_path)


def test_what_is_over_is_submitted_again_as_it_was_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = []
    monkeypatch.setattr(control, "submit", lambda command, config: submitted.append((command, config)))
    assert main(["requeue", str(run)]) == 0
    ((command, config),) = submitted
    assert command == "pretrain" and isinstance(config, PretrainConfig) and config.train.seed == 8


def test_a_submission_with_relative_paths_is_not_repeated_elsewhere(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = PretrainConfig(run=RunConfig(name="a", root="runs"))
    kept = Job("pretrain", "os:getcwd", "mmfm.config.schema:PretrainConfig", asdict(config), "runs/a")
    DelayedSubmission(kept).dump(run / "logs" / "8" / "8_submitted.pkl")
    with pytest.raises(UserError, match="another folder"):
        control.requeue(run)
    submitted = []
    monkeypatch.setattr(control, "submit", lambda command, config: submitted.append(command))
    monkeypatch.chdir(tmp_path)
    control.requeue(run)
    assert submitted


def test_a_submission_by_hand_cannot_be_repeated(run: Path) -> None:
    for path in run.glob("logs/*/*.pkl"):
        path.unlink()
    with pytest.raises(UserError, match="as you did before"):
        control.requeue(run)


def test_a_local_run_is_stopped_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "logs" / "20260101-120000-99").mkdir(parents=True)
    with pytest.raises(UserError, match=r"Ctrl-C there, or `kill 99`"):
        control.cancel(tmp_path)
