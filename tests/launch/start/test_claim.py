"""Taking a run over, and refusing to when it failed too often."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.start.claim import GivenUpError, claim, is_done
from mmfm.training.journal import Journal, StaleError, Start
from mmfm.training.runfolder import RunFolder


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def take(journal: Journal, job: str, count: int = 0) -> None:
    claim(journal, Start(job, count), ["n1"], 1, max_failures=2)


def test_the_run_belongs_to_who_claimed_it_last(journal: Journal) -> None:
    take(journal, "7")
    take(journal, "7", 1)
    journal.check(Start("7", 1))
    with pytest.raises(StaleError):
        take(journal, "7")


def test_starts_that_end_without_a_word_count(journal: Journal) -> None:
    take(journal, "7")
    take(journal, "7", 1)
    with pytest.raises(GivenUpError, match=r"(?s)2 starts .*job 7, start 1: .*node lost.*job 7, start 2"):
        take(journal, "7", 2)
    assert journal.events()[-1].name == "given_up"


def test_whoever_submits_again_counts_anew(journal: Journal) -> None:
    for count in (0, 1):
        take(journal, "7", count)
        journal.append("failed", Start("7", count), cause="x", kind="crash")
    with pytest.raises(GivenUpError):
        take(journal, "7", 2)
    take(journal, "8")
    assert journal.owner() == Start("8")


def test_jobs_of_a_chain_count_together(journal: Journal) -> None:
    journal.append("submitted", Start("7"), after="")
    journal.append("submitted", Start("8"), after="7")
    journal.append("submitted", Start("9"), after="8")
    for job in ("7", "8"):
        take(journal, job)
        journal.append("failed", Start(job), cause="no luck", kind="crash")
    with pytest.raises(GivenUpError, match=r"(?s)job 7, start 1: no luck.*job 8, start 1: no luck"):
        take(journal, "9")


def test_a_run_is_done_when_it_says_so_and_its_last_checkpoint_is_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    take(folder.journal, "7")
    assert not is_done(folder)
    folder.journal.append("done", Start("7"), step=40)
    assert not is_done(folder)
    (folder.checkpoints / "step_00000040").mkdir(parents=True)
    assert is_done(folder)
