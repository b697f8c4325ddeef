from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfm.training.journal import PROGRESS, Journal, StaleError, Start

FIRST, SECOND, THIRD = (Start("7", count) for count in range(3))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / "journal.jsonl")


def test_events_come_back_in_order_with_their_values(journal: Journal) -> None:
    assert journal.events() == [] and journal.owner() is None
    journal.append("submitted", FIRST, nodes=2)
    journal.claim(FIRST, nodes=["n1", "n2"], processes=4)
    events = journal.events()
    assert [(e.name, e.start, e.values) for e in events] == [
        ("submitted", FIRST, {"nodes": 2}),
        ("start", FIRST, {"nodes": ["n1", "n2"], "processes": 4}),
    ]
    assert events[0].time <= events[1].time


def test_only_the_start_that_claimed_last_may_write(journal: Journal) -> None:
    journal.claim(FIRST)
    journal.check(FIRST)
    journal.claim(SECOND)
    with pytest.raises(StaleError, match=r"job 7, start 2 has taken .* over: this process .job 7, start 1"):
        journal.check(FIRST)
    journal.check(SECOND)
    with pytest.raises(StaleError, match="job 7, start 1 comes too late: job 7, start 2"):
        journal.claim(FIRST)
    journal.claim(other := Start("8"))  # submitted anew
    journal.check(other)
    with pytest.raises(StaleError):
        journal.claim(FIRST)  # wakes up even later
    journal.check(other)


def test_nobody_writes_where_the_journal_is_gone(journal: Journal) -> None:
    with pytest.raises(StaleError, match="is gone"):
        journal.check(FIRST)


def test_a_line_that_was_cut_short_takes_no_other_with_it(journal: Journal) -> None:
    """The next line is a claim: were it lost, the rightful owner would stop."""
    journal.claim(FIRST)
    with journal.path.open("a") as file:
        file.write('{"event": "saved", "job": "7", "st')
    journal.claim(SECOND)
    journal.check(SECOND)
    assert [event.name for event in journal.events()] == ["start", "start"]


@pytest.mark.parametrize("line", ["[1]", "3", "null", '{"event": "start"}', '{"event": "start", "job": "7"}'])
def test_a_line_that_is_no_event_is_passed_over(journal: Journal, line: str) -> None:
    journal.claim(FIRST)
    with journal.path.open("a") as file:
        file.write(line + "\n")
    journal.check(FIRST)


def test_a_start_that_ended_without_a_word_counts_once_the_next_has_begun(journal: Journal) -> None:
    journal.claim(FIRST, nodes=["n1"])
    assert journal.failures() == []
    journal.claim(SECOND)
    (lost,) = journal.failures()
    assert (lost.start, lost.values["kind"], lost.values["nodes"]) == (FIRST, "lost", ["n1"])
    journal.append("failed", SECOND, cause="boom", kind="crash")
    journal.append("failed", SECOND, cause="said twice", kind="crash")
    assert [event.start for event in journal.failures()] == [FIRST, SECOND]


@pytest.mark.parametrize("progress", PROGRESS)
def test_failures_are_counted_anew_when_the_run_gets_on(journal: Journal, progress: str) -> None:
    for start in (FIRST, SECOND):
        journal.claim(start)
        journal.append("failed", start, cause="boom")
    journal.append(progress, SECOND, step=5)
    assert journal.failures() == []
    journal.claim(THIRD)
    assert journal.failures() == []  # the second start had got on


def test_a_step_that_was_saved_before_is_no_progress(journal: Journal) -> None:
    """As when each start goes on after 100 and dies at 115, since what it saved at 110 is damaged."""
    for start in (FIRST, SECOND, THIRD):
        journal.claim(start)
        journal.append("saved", start, step=110)
        journal.append("failed", start, cause="boom")
    assert [event.start for event in journal.failures()] == [FIRST, SECOND, THIRD]
    journal.append("saved", THIRD, step=120)
    assert journal.failures() == []


def test_a_start_that_dies_silently_after_a_step_that_was_saved_before_counts(journal: Journal) -> None:
    journal.claim(FIRST)
    journal.append("saved", FIRST, step=110)
    for start in (SECOND, THIRD):
        journal.claim(start)
        journal.append("saved", start, step=110)
    journal.claim(Start("7", 3))
    assert [event.start for event in journal.failures()] == [SECOND, THIRD]


def test_whoever_submits_anew_may_begin_again_and_a_chain_goes_on(journal: Journal) -> None:
    journal.claim(FIRST)
    journal.append("saved", FIRST, step=110)
    journal.append("submitted", behind := Start("8"), after="7")
    journal.append("submitted", anew := Start("9"), after="")
    for start, counted in ((behind, True), (anew, False)):
        journal.claim(start)
        journal.append("failed", start, cause="boom")
        journal.append("saved", start, step=10)
        assert bool(journal.failures()) == counted


def test_a_start_that_was_told_to_leave_is_no_failure(journal: Journal) -> None:
    journal.claim(FIRST)
    for start, next_one in ((FIRST, SECOND), (SECOND, THIRD)):
        journal.append("left", start, cause="SIGTERM on n1")
        journal.claim(next_one)
    assert journal.failures() == []
    assert journal.left(FIRST) and not journal.left(THIRD)
    journal.append("left", FIRST, cause="a stale process, told late")
    journal.claim(Start("7", 3))
    assert [event.start for event in journal.failures()] == [THIRD]  # it said nothing itself


def test_a_run_that_is_done_and_started_again_has_no_failures(journal: Journal) -> None:
    for start in (FIRST, SECOND):
        journal.claim(start)
        journal.append("done", start, step=110)
    journal.claim(THIRD)
    assert journal.failures() == []


Ending = st.sampled_from(
    ["failed", "silent", "saved", "saved, failed", "saved, silent", "left", "told", "again, failed"]
)


@settings(deadline=None, max_examples=50)
@given(st.lists(Ending, max_size=8))
def test_failures_are_the_bad_starts_since_the_last_progress(
    tmp_path_factory: pytest.TempPathFactory, endings: list[str]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    expected: list[int] = []
    best = -1
    for count, ending in enumerate([*endings, "runs"]):
        start = Start("7", count)
        journal.claim(start)
        journal.append("ready", start, step=0)
        for event in ending.split(", "):
            if event in ("saved", "left"):
                journal.append(event, start, step=count)
                expected, best = [], count
            elif event == "told":
                journal.append("left", start, cause="SIGTERM on n1")
            elif event == "again":  # the step that it had before; without one, the first
                journal.append("saved", start, step=max(best, 0))
                expected, best = (expected, best) if best >= 0 else ([], 0)
            elif event == "failed":
                journal.append(event, start, cause="boom")
                expected.append(count)
            elif event == "silent" and not ending.startswith("saved"):
                expected.append(count)
    assert [event.start.count for event in journal.failures()] == expected
    assert journal.owner() == Start("7", len(endings))


Line = st.dictionaries(st.sampled_from(["step", "cause"]), st.text() | st.integers() | st.none())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(Line, st.binary(max_size=3)), max_size=5))
def test_whatever_is_written_between_them_all_events_are_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[dict[str, Any], bytes]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    for values, garbage in lines:
        journal.append("saved", FIRST, **values)
        with journal.path.open("ab") as file:
            file.write(garbage.replace(b"\n", b""))
    assert [event.values for event in journal.events()] == [values for values, _ in lines]


def test_the_start_of_this_process_is_what_its_launcher_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMFM_JOB", raising=False)
    assert Start.of_environment() is None
    monkeypatch.setenv("MMFM_JOB", "7")
    monkeypatch.setenv("MMFM_START", "2")
    assert Start.of_environment() == THIRD
