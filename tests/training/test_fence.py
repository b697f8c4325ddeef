from __future__ import annotations

from pathlib import Path

import pytest

from mmfm.config import load
from mmfm.config.schema import PretrainConfig
from mmfm.training.fence import Fence
from mmfm.training.journal import Journal, StaleError, Start
from mmfm.training.runfolder import RunFolder
from mmfm.training.trainer import prepare

FIRST, SECOND = Start("7", 0), Start("7", 1)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "a" / "journal.jsonl")


def names(journal: Journal) -> list[str]:
    return [event.name for event in journal.events()]


def test_only_the_owner_is_let_through_and_heard(journal: Journal) -> None:
    first, second = Fence(journal, FIRST), Fence(journal, SECOND)
    journal.claim(FIRST)
    first.check()
    first.record("stepped", step=1)
    journal.claim(SECOND)
    with pytest.raises(StaleError):
        first.check()
    first.record("saved", step=2)  # would count as progress
    second.record("stepped", step=1)
    assert names(journal) == ["start", "stepped", "start", "stepped"]


def test_outside_a_job_there_is_no_fence_and_no_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MMFM_JOB", raising=False)
    fence = Fence.of_environment(journal)
    fence.check()
    fence.record("saved", step=2)
    assert not journal.path.exists()


def test_a_journal_without_room_does_not_end_training(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.claim(FIRST)
    monkeypatch.setattr(Journal, "append", lambda *_, **__: Path("/dev/full").write_bytes(b"x"))
    Fence(journal, FIRST).record("save_failed", step=2)
    assert "'save_failed' is not in" in (said := capsys.readouterr().err) and "No space left" in said


def test_a_start_that_comes_too_late_does_not_touch_the_run_folder(tmp_path: Path, journal: Journal) -> None:
    journal.claim(SECOND)
    config = load(PretrainConfig, None, [f"run.root={tmp_path}", "run.name=a", "data.shards=nowhere"])
    with pytest.raises(StaleError, match="start 2 has taken"):
        prepare(RunFolder.of(config.run), config, Fence(journal, FIRST))
    assert list(tmp_path.glob("a/*")) == [journal.path]
