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


Ending = st.sampled_from(["failed", "silent", "saved", "saved, failed", "saved, silent", "left"])


@settings(deadline=None, max_examples=50)
@given(st.lists(Ending, max_size=8))
def test_failures_are_the_bad_starts_since_the_last_progress(
    tmp_path_factory: pytest.TempPathFactory, endings: list[str]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("run") / "journal.jsonl")
    expected: list[int] = []
    for count, ending in enumerate([*endings, "runs"]):
        start = Start("7", count)
        journal.claim(start)
        journal.append("ready", start, step=0)
        for event in ending.split(", "):
            if event in ("saved", "left"):
                journal.append(event, start, step=count)
                expected = []
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
