"""Counting what is in shards: metadata, notes with their audit, licences; as tables and as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from tiny_shards import write_tiny

from data_tools.shards.ls import print_samples
from data_tools.shards.stats import stats
from data_tools.shards.tables import print_stats
from mmfm.data.index import Split
from mmfm.records import Note, Record

WIDTH = 100


def note(text: str, *kinds: str, recall: float | None = None) -> Note:
    findings = [{"kind": kind, "detail": "", "start": 0, "end": 1} for kind in kinds]
    return Note(
        "M", text, audit={"findings": findings, "scores": {} if recall is None else {"recall": recall}}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four samples; two have audited notes, one a note without an audit; one note was refused."""
    facts = {"license": "CC0", "matched_subclass": "blue nevus", "label": 2, "age": 0.0, "sex": "female"}
    flagged, sound = (
        note("two words", "age", "age", "class", recall=0.5),
        note("four words are here", recall=1.0),
    )
    records = [
        Record("a", "1", "drawn", notes={"M": flagged}, **facts),
        Record("a", "2", "drawn", notes={"M": sound}, skin_tone="3"),
        Record("a", "3", "drawn", notes={"M": Note("M", "one", audit={})}),
    ]
    refused = [{"key": "a-3", "note": "L1", "text": "x", "reasons": ["class", "age"]}]
    other = Record("a_collection_with_a_long_name", "4", "drawn-dermoscopic", confirmation="histopathology")
    where = tmp_path_factory.mktemp("stats") / "shards"
    return write_tiny(where, {"train": records, "test": [other]}, refused=refused)


def test_metadata_subclasses_and_licences(folder: Path) -> None:
    counted = stats(folder, workers=1)
    part = counted.slices["train", "a", "drawn"]
    assert (part.samples, part.labels) == (3, {"NEV": 1, "": 2})
    assert part.known == {"age": 1, "sex": 1, "skin_tone": 1}  # an age of 0 is known
    assert part.subclasses == {"blue nevus": 1, "": 2}
    assert part.licenses == {"CC0": 1, "": 2}
    assert counted.slices["test", "a_collection_with_a_long_name", "drawn-dermoscopic"].known == {
        "confirmation": 1
    }


def test_notes_with_their_audit(folder: Path) -> None:
    counted = stats(folder, workers=1)
    notes = counted.slices["train", "a", "drawn"].notes["M"]
    assert (notes.notes, notes.audited, notes.flagged) == (3, 2, 1)
    assert notes.words == {2: 1, 4: 1, 1: 1}
    assert notes.findings == {"age": 1, "class": 1}  # notes, not findings
    assert notes.mean("recall") == 0.75
    assert notes.mean("precision") is None
    assert counted.refused["L1"].notes == 1
    assert counted.refused["L1"].reasons == {"class": 1, "age": 1}
    assert counted.whole.notes["M"].notes == 3


def test_audits_of_another_shape_are_counted_as_far_as_they_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {
        "findings": [1, {"what": "age"}, {"kind": "age"}],
        "scores": {"recall": None, "precision": "?", "words": 3},
    }
    record = Record("a", "1", "drawn", notes={"M": Note("M", "one", audit=odd)})
    folder = write_tiny(tmp_path / "odd", {"train": [record]})
    notes = stats(folder, workers=1).slices["train", "a", "drawn"].notes["M"]
    assert (notes.findings, notes.mean("recall"), notes.mean("words")) == ({"age": 1}, None, 3)
    print_samples(folder)
    assert "M [age]: one" in capsys.readouterr().out


def test_damaged_samples_are_counted_apart(folder: Path, tmp_path: Path) -> None:
    copy = write_tiny(
        tmp_path / "copy", {"train": [Record("a", str(i), "drawn", sex="male") for i in (1, 2)]}
    )
    split = Split.open(copy, "train")
    with split.shard_paths[0].open("r+b") as tar:
        tar.seek(int(split.json_offset[0]))
        tar.write(b"x")
    part = stats(copy, workers=1).slices["train", "a", "drawn"]
    assert (part.samples, part.unreadable, part.known["sex"]) == (2, 1, 1)


def test_tables_fit_a_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", str(WIDTH))
    print_stats(folder, workers=1)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    for told in ("a_collection_with_a_long_name", "skin tone", "blue nevus", "CC0", "33%", "0.75", "class 1"):
        assert told in text


def test_json_holds_the_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_stats(folder, workers=1, as_json=True)
    told = json.loads(capsys.readouterr().out)
    train = next(part for part in told["slices"] if part["split"] == "train")
    assert train["known"]["age"] == 1
    assert train["notes"]["M"] == {
        "notes": 3,
        "words": {"1": 1, "2": 1, "4": 1},
        "audited": 2,
        "flagged": 1,
        "findings": {"age": 1, "class": 1},
        "scores": {"recall": 0.75},
    }
    assert told["refused"] == {"L1": {"notes": 1, "reasons": {"class": 1, "age": 1}}}
    assert sum(part["samples"] for part in told["slices"]) == 4


def test_a_picture_too_large_to_open_is_counted_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    part = stats(folder, workers=1).slices["train", "a", "drawn"]
    assert (part.samples, part.unreadable) == (3, 3)
