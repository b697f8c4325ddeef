"""Asking Slurm for another start. What Slurm then does is tested on real daemons, in tests/slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.slurm.requeue import ask_again, requeue, warn_without_scontrol
from mmfm.config.schema import ClusterConfig
from mmfm.errors import UserError
from mmfm.training.journal import Journal, Start

START = Start("7", 2)


def told(folder: Path) -> list[str]:
    return (folder / "told").read_text().splitlines() if (folder / "told").exists() else []


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def changes(folder: Path) -> list[str]:
    return [words for words in told(folder) if not words.startswith("show")]


def test_rank_0_asks_and_says_which_start_ended(
    scontrol: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    requeue(0, journal, START)
    assert changes(scontrol) == ["requeue 7"]
    assert "requeueing job 7 (start 3 ends here)" in capsys.readouterr().err
    assert [(event.name, event.start) for event in journal.events()] == [("requeued", START)]


def test_other_ranks_do_not_ask(scontrol: Path, journal: Journal) -> None:
    requeue(1, journal, START)
    assert not told(scontrol)


def test_a_job_of_a_chain_leaves_the_rest_to_the_next(
    scontrol: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.append("submitted", Start("7"), after="")
    journal.append("submitted", Start("8"), after="7")
    requeue(0, journal, START, chain=2)
    assert "the next job of the chain goes on" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"job 8, the last of cluster\.chain=2, .* submit the command again"):
        requeue(0, journal, Start("8"), chain=2)
    requeue(1, journal, Start("8"), chain=2)
    assert not told(scontrol) and len(journal.events()) == 2


def test_bad_nodes_are_added_to_those_excluded_before(scontrol: Path, journal: Journal) -> None:
    (scontrol / "excluded").write_text("n[1,4]")
    assert ask_again(journal, START, ["n2", "n3"])
    assert changes(scontrol) == ["requeue 7", "update JobId=7 ExcNodeList=n[1,4],n2,n3"]
    assert journal.events()[0].values == {"excluded": ["n2", "n3"]}


def test_what_slurm_does_not_say_is_no_node(scontrol: Path, journal: Journal) -> None:
    (scontrol / "excluded").write_text("")
    assert ask_again(journal, START, ["n2"])
    assert changes(scontrol)[-1] == "update JobId=7 ExcNodeList=n2"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])
def test_a_job_that_slurm_is_ending_is_left_alone(
    scontrol: Path, journal: Journal, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (scontrol / "state").write_text(state)
    requeue(0, journal, START)
    assert not changes(scontrol) and not journal.events()
    assert state in capsys.readouterr().err


def test_a_controller_that_is_being_restarted_is_asked_again(
    scontrol: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (scontrol / "state").write_text("")
    monkeypatch.setattr(
        "launch.slurm.requeue.time.sleep", lambda _: (scontrol / "state").write_text("RUNNING")
    )
    requeue(0, journal, START)
    assert changes(scontrol) == ["requeue 7"]
    assert "does not answer" in capsys.readouterr().err


def test_a_controller_that_never_answers_is_not_asked_for_ever(
    scontrol: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scontrol / "state").write_text("")
    monkeypatch.setattr("launch.slurm.requeue.time.sleep", lambda _: None)
    assert not ask_again(journal, START, [])
    assert not changes(scontrol)


def test_a_refusal_is_passed_on_with_a_way_out(
    scontrol: Path, journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    (scontrol / "refuse").touch()
    requeue(0, journal, START)
    assert "Access denied; submit the command again" in capsys.readouterr().err
    assert not journal.events()


def test_want_of_scontrol_is_told_at_the_beginning(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_without_scontrol(ClusterConfig(kind="slurm"))
    monkeypatch.setenv("PATH", str(scontrol / "none"))
    warn_without_scontrol(ClusterConfig())
    warn_without_scontrol(ClusterConfig(kind="slurm", chain=2))
    assert not capsys.readouterr().err
    warn_without_scontrol(ClusterConfig(kind="slurm"))
    assert "this job cannot requeue itself" in capsys.readouterr().err


def test_without_scontrol_there_is_a_way_out(
    scontrol: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(scontrol / "none"))
    requeue(0, journal, START)
    said = capsys.readouterr().err
    assert "scontrol is not on" in said and "submit the command" in said and "cluster.chain" in said
