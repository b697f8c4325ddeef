"""Asking Slurm for another start. What Slurm then does is tested on real daemons, in tests/slurm."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.requeue import requeue


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A scontrol that knows a job in the state written in `state`, and writes down what it is told."""
    program = tmp_path / "scontrol"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n'
        f'[ "$1" = show ] && echo "JobId=7 JobState=$(cat {tmp_path}/state) Reason=None"\n'
        f"[ ! -e {tmp_path}/refuse ] || {{ echo 'slurm_requeue error: Access denied' >&2; exit 1; }}\n"
    )
    program.chmod(0o755)
    (tmp_path / "state").write_text("RUNNING")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def told(folder: Path) -> list[str]:
    return (folder / "told").read_text().splitlines() if (folder / "told").exists() else []


def test_rank_0_asks_and_says_which_start_ended(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    requeue(0)
    assert told(scontrol) == ["show job 7", "requeue 7"]
    assert "requeueing job 7 (start 3 ends here)" in capsys.readouterr().err


def test_other_ranks_do_not_ask(scontrol: Path) -> None:
    requeue(1)
    assert not told(scontrol)


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])
def test_a_job_that_slurm_is_ending_is_left_alone(
    scontrol: Path, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (scontrol / "state").write_text(state)
    requeue(0)
    assert told(scontrol) == ["show job 7"]
    assert state in capsys.readouterr().err


def test_a_refusal_is_passed_on_with_a_way_out(scontrol: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scontrol / "refuse").touch()
    requeue(0)
    assert "Access denied; submit the command again" in capsys.readouterr().err


def test_without_scontrol_there_is_a_way_out(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(scontrol / "none"))
    requeue(0)
    assert "scontrol is not on" in (told_by := capsys.readouterr().err) and "submit the command" in told_by
