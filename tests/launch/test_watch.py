"""Runs on Slurm as seen from their folders. The real queue is asked in tests/slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.cli import main
from launch.watch import OVER, JobState, job_states, log_file, newest_job, progress, submitted_runs
from mmfm.errors import DataError, UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was submitted twice and has done 20 of 100 steps of 16 samples."""
    for job in ("9", "10", "20260101-local"):
        (tmp_path / "runs" / "a" / "logs" / job).mkdir(parents=True)
    folder = tmp_path / "runs" / "a"
    (folder / "logs" / "10" / "10_0_log.err").write_text("hello\n")
    (folder / "config.yaml").write_text("train: {steps: 100}\n")
    line = {"step": 20, "samples": 320, "loss": 2.5, "samples_per_s": 16.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 21, "los')
    return folder


def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    """Have only these Slurm programs, each with one answer."""
    for name, answer in answers.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")


def test_newest_job_counts_as_a_number_and_local_ones_do_not(run: Path) -> None:
    assert newest_job(run) == "10"
    assert submitted_runs(run.parents[1]) == [run] == submitted_runs(run)


def test_progress_comes_from_the_last_whole_line(run: Path) -> None:
    done = progress(run)
    assert (done.step, done.steps, done.loss) == (20, 100, 2.5)
    assert done.hours_left == pytest.approx(80 / 3600)


def test_the_queue_goes_before_the_accounts(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = "9|CANCELLED by 0|n1\n10|PENDING|None assigned"
    slurm(tmp_path, monkeypatch, squeue="10|PENDING|Resources||1|", sacct=accounts)
    states = job_states(["8", "9", "10"])
    assert states["8"] == JobState(OVER)
    assert states["9"] == JobState("cancelled", nodes="n1")
    assert states["10"] == JobState("pending", "Resources", "", "1")


def test_a_log_that_is_not_there_is_named_with_those_that_are(run: Path) -> None:
    assert log_file(run, 0).name == "10_0_log.err"
    with pytest.raises(DataError, match=r"no log of rank 3 .* ranks with one: 0"):
        log_file(run, 3)


def test_logs_are_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", str(run)]) == 0
    assert capsys.readouterr().out == "hello\n"


def test_away_from_slurm_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="login node"):
        job_states(["1"])


def test_a_folder_without_such_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
