"""The store of notes: what is durable is found, each note once, whatever was killed, damaged or doubled."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.notes.lines import LineWriter, decode, encode
from data_tools.notes.store import NOTES, Entry, NoteStore, Rank, rank_of
from mmfm.errors import DataError


def entry(key: str, text: str = "a note", time: float = 1.0, failure: str = "") -> Entry:
    return Entry(
        key,
        "set-1",
        "L1",
        "1",
        "abc",
        {},
        "server",
        "m",
        {},
        answer=text,
        text=text,
        time=time,
        failure=failure,
    )


def contents(store: NoteStore) -> dict[str, str]:
    return {one.key: one.text for one in store.entries()}


def files(folder: Path) -> list[Path]:
    return sorted((folder / NOTES).iterdir())


def test_what_is_flushed_is_found_by_others(tmp_path: Path) -> None:
    with NoteStore(tmp_path) as mine:
        other = NoteStore(tmp_path)
        mine.append(entry("a"))
        mine.append(entry("b", failure="refused"))
        mine.flush()
        assert mine.durable == 2
        assert "a" not in other
        assert other.refresh() == 2 and other.refresh() == 0
        assert "a" in other and "b" not in other and other.has_failed("b") and not other.has_failed("a")
        assert other.get("a") == entry("a") and other.get("nothing") is None
        assert set(other.get_all(["a", "b", "c", "a"])) == {"a", "b"}


def test_every_writer_has_a_file_of_its_own(tmp_path: Path) -> None:
    stores = [NoteStore(tmp_path) for _ in range(3)]
    for number, store in enumerate(stores):
        store.append(entry(str(number)))
        store.close()
    stores[0].append(entry("again"))
    stores[0].close()
    assert stores[0].durable == 2
    assert len(files(tmp_path)) == 4
    assert set(contents(NoteStore(tmp_path))) == {"0", "1", "2", "again"}


def test_an_answer_may_hold_anything(tmp_path: Path) -> None:
    text = 'two\nlines, a "quote", \x00, \u2028, \ud800 and é'
    with NoteStore(tmp_path) as store:
        store.append(entry("a", text))
    assert contents(NoteStore(tmp_path)) == {"a": text}


Turn = st.tuples(st.integers(0, 2), st.sampled_from("abcdef"), st.integers(0, 3), st.booleans())
Shares = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@settings(max_examples=60)
@given(turns=st.lists(Turn, max_size=25), early=Shares, late=Shares)
def test_reading_finds_exactly_what_kills_have_left(
    turns: list[tuple[int, str, int, bool]], early: list[float], late: list[float]
) -> None:
    """Three writers append in turns, read once on the way, and each is killed at any byte."""
    written: list[list[Entry]] = [[], [], []]
    for number, (writer, key, time, failed) in enumerate(turns):
        one = entry(key, f"text {number}", float(time), "refused" if failed else "")
        written[writer].append(one)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / NOTES).mkdir()
        reader = NoteStore(folder)
        durable: list[Entry] = []
        for shares in (early, [max(pair) for pair in zip(early, late, strict=True)]):
            durable = [
                one
                for number, share in enumerate(shares)
                for one in write_cut(Path(folder, NOTES, f"w{number}.jsonl"), written[number], share)
            ]
            reader.refresh()
        expected = {key: min(group, key=rank) for key, group in by_key(durable).items()}
        for store in (reader, NoteStore(folder)):
            assert {one.key: one for one in store.entries()} == expected
            assert store.damaged == 0
            assert sorted(one.text for one in store.all_lines()) == sorted(one.text for one in durable)


def write_cut(path: Path, entries: list[Entry], share: float) -> list[Entry]:
    """Write the first bytes of a writer's file; returns the entries that are whole in them."""
    lines = [encode(vars(one)) for one in entries]
    whole = b"".join(lines)
    size = round(share * len(whole))
    path.write_bytes(whole[:size])
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    return [one for one, end in zip(entries, ends, strict=True) if end <= size]


def rank(one: Entry) -> Rank:
    line = decode(encode(vars(one)))
    assert line is not None
    return rank_of(line)


def by_key(entries: list[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for one in entries:
        groups.setdefault(one.key, []).append(one)
    return groups


def test_of_several_entries_one_counts_whatever_the_order_of_reading(tmp_path: Path) -> None:
    first, second = entry("a", "first", 1.0), entry("a", "second", 2.0)
    early_failure, late_failure = entry("a", "", 0.5, "refused"), entry("a", "", 9.0, "timeout")
    for number, order in enumerate(
        ([second, late_failure, first, early_failure], [first, late_failure, second])
    ):
        folder = tmp_path / str(number)
        for one in order:
            with NoteStore(folder) as store:
                store.append(one)
        assert NoteStore(folder).get("a") == first
    with NoteStore(tmp_path / "failed") as store:
        store.append(late_failure)
        store.append(early_failure)
    assert NoteStore(tmp_path / "failed").get("a") == late_failure


def test_damage_in_the_middle_costs_that_line_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with NoteStore(tmp_path) as store:
        for key in "abc":
            store.append(entry(key))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"key":"b"', b'"key":"x"'))
    damaged = NoteStore(tmp_path)
    assert set(contents(damaged)) == {"a", "c"} and damaged.damaged == 1 and damaged.torn == 0
    assert f"1 damaged lines are passed over, the last at byte {len(encode(vars(entry('a'))))}" in (
        capsys.readouterr().err
    )


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / NOTES / "other.jsonl"
    path.parent.mkdir()
    line = encode(vars(entry("a")))
    path.write_bytes(line[:40])
    store = NoteStore(tmp_path)
    assert "a" not in store and store.torn == 1
    path.write_bytes(line)
    store.refresh()
    assert "a" in store and store.torn == 0 and store.damaged == 0


def test_a_disk_that_takes_no_more_is_said_and_nothing_follows_the_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LineWriter(tmp_path)
    writer.append({"n": 1})
    writer.flush()

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        writer.append({"n": 2})
        with pytest.raises(DataError, match=r"No space left on device\. The 1 lines written before are safe"):
            writer.flush()
    with pytest.raises(DataError):
        writer.append({"n": 3})
    with pytest.raises(DataError):
        writer.close()


def test_names_of_new_folders_are_flushed_and_a_file_system_may_not_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, fsync = [], os.fsync

    def seen(file: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{file}").resolve())
        if flushed[-1].is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(file)

    monkeypatch.setattr(os, "fsync", seen)
    with NoteStore(tmp_path / "runs" / "new") as store:
        store.append(entry("a"))
    notes = tmp_path / "runs" / "new" / NOTES
    assert set(flushed[:-1]) == {notes, *list(notes.parents)[:3]} and flushed[-1].parent == notes


def test_a_folder_that_takes_no_notes_is_known_before_the_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="file: notes cannot be written there: Not a directory"):
        NoteStore(tmp_path / "file").check_writable()
    NoteStore(tmp_path / "new").check_writable()
    assert not files(tmp_path / "new")


def test_any_error_of_the_writing_thread_reaches_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(file: int, data: bytes) -> int:
        raise MemoryError

    monkeypatch.setattr(os, "write", failing)
    writer = LineWriter(tmp_path)
    writer.append({"n": 1})
    with pytest.raises(DataError, match=r"cannot be written: MemoryError\(\)"):
        writer.flush()


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with NoteStore(tmp_path) as store:
        store.append(entry("a"))
        store.flush()
        store.refresh()
        (path,) = files(tmp_path)
        path.unlink()
        with pytest.raises(DataError, match=f"{path.name} was there and is gone"):
            store.get("a")


CHILD = """
import sys
from data_tools.notes.store import Entry, NoteStore
store = NoteStore(sys.argv[1])
told = 0
for number in range(1_000_000):
    store.append(Entry(str(number), "r", "L1", "1", "p", {}, "server", "m", {}, text="x" * 50))
    if store.durable > told:
        told = store.durable
        print(told, flush=True)
"""


def test_what_was_reported_as_durable_outlives_kill_9(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = 0
    for line in child.stdout:
        told = int(line)
        if told > 50:
            break
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()  # what it said before it was gone
    child.wait()
    told = max([told, *map(int, rest[:-1])])
    store = NoteStore(tmp_path)
    keys = set(contents(store))
    assert store.damaged == 0
    assert {str(number) for number in range(told)} <= keys
    assert keys == {str(number) for number in range(len(keys))}  # each once, in order, none invented


def test_a_folder_without_notes_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no notes: `mmfm notes write"):
        NoteStore.existing(tmp_path)


def test_fields_of_later_versions_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / NOTES / "later.jsonl"
    path.parent.mkdir()
    path.write_bytes(encode({**vars(entry("a")), "mood": "good"}))
    assert NoteStore(tmp_path).get("a") == entry("a")
