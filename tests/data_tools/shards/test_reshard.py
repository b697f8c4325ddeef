"""Other shard sizes, orders and splits: the same samples to the byte, and a folder that verifies."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killed import run_until_killed
from tiny_shards import write_tiny

from data_tools.shards import repack
from data_tools.shards.reshard import reshard
from data_tools.shards.verify import verify
from mmfm.data.index import Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.files import file_digest
from mmfm.records import Note, Record

Digests = Callable[[Path], dict[str, str]]


def shard_files(digests: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in digests.items() if name.endswith((".tar", ".parquet"))}


def contents(folder: Path) -> dict[str, tuple[str, bytes, Record]]:
    """Split, image and record of every sample, by its key; a key that is there twice fails."""
    found: dict[str, tuple[str, bytes, Record]] = {}
    for name, info in Manifest.read(folder).splits.items():
        if info.samples:
            split = Split.open(folder, name)
            for row, key in enumerate(split.keys):
                assert key not in found
                found[key] = (name, split.read_image(row), split.read_record(row))
    return found


def test_there_and_back_gives_the_same_tars(sound: Path, tmp_path: Path, digests: Digests) -> None:
    larger = reshard(sound, tmp_path / "larger", 11, workers=1)
    assert max(info.samples for part in larger.splits.values() for info in part.shards) == 11
    assert verify(tmp_path / "larger", decode=True, workers=1) == []
    assert contents(tmp_path / "larger") == contents(sound)
    reshard(tmp_path / "larger", tmp_path / "back", 7, workers=1)
    assert shard_files(digests(tmp_path / "back")) == shard_files(digests(sound))


def test_the_manifest_tells_where_the_samples_come_from(sound: Path, tmp_path: Path) -> None:
    old, new = Manifest.read(sound), reshard(sound, tmp_path / "new", 11, workers=1)
    (origin,) = new.origins
    assert origin["folder"] == str(sound)
    assert origin["manifest"] == file_digest(sound / "dataset.json")
    assert (origin["samples"], origin["taken"]) == (48, 48)
    assert origin["config"] == old.config
    assert (new.sources, new.notes, new.split_rule) == (old.sources, old.notes, old.split_rule)
    assert {name: part.by_dataset for name, part in new.splits.items()} == {
        name: part.by_dataset for name, part in old.splits.items()
    }


def test_some_splits_only(sound: Path, tmp_path: Path) -> None:
    manifest = reshard(sound, tmp_path / "new", 100, ["test", "val"], workers=1)
    old = Manifest.read(sound).splits
    assert [manifest.splits[name].samples for name in ("train", "val", "test")] == [
        0,
        old["val"].samples,
        old["test"].samples,
    ]
    (source,) = manifest.sources
    assert source["records"] + source["left_out"] == 48
    assert manifest.origins[0]["left_out"] == {"split": old["train"].samples}
    assert verify(tmp_path / "new", workers=1) == []


def test_another_seed_mixes_anew(sound: Path, tmp_path: Path) -> None:
    reshard(sound, tmp_path / "new", 7, seed=1, workers=1)
    keys, old = (list(Split.open(folder, "train").keys) for folder in (tmp_path / "new", sound))
    assert keys != old
    assert sorted(keys) == sorted(old)


@pytest.mark.parametrize(
    ("function", "call"), [("read_member", 30), ("write_whole", 3), ("copy_shard", 2), ("plan_of", 1)]
)
def test_killed_anywhere_then_the_same_bytes(
    sound: Path, tmp_path: Path, digests: Digests, function: str, call: int
) -> None:
    reshard(sound, tmp_path / "undisturbed", 9, workers=1)
    killed = tmp_path / "killed"
    run_until_killed(lambda: reshard(sound, killed, 9, workers=1), repack, function, call)
    assert not (killed / "dataset.json").exists()
    reshard(sound, killed, 9, workers=1)
    assert digests(killed) == digests(tmp_path / "undisturbed")


def test_finished_it_returns_at_once_and_other_settings_are_refused(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = reshard(sound, tmp_path / "new", 9, workers=1)
    monkeypatch.setattr(repack, "copy_shard", None)
    assert reshard(sound, tmp_path / "new", 9, workers=1) == manifest
    with pytest.raises(ConfigError, match="samples_per_shard is 9 there, 8 here"):
        reshard(sound, tmp_path / "new", 8, workers=1)


@pytest.mark.parametrize(
    ("splits", "message"), [(["dev"], "no split 'dev': one of train, val, test"), ([], "no sample is left")]
)
def test_what_cannot_be_is_said(sound: Path, tmp_path: Path, splits: list[str], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        reshard(sound, tmp_path / "new", 9, splits, workers=1)
    assert not (tmp_path / "new").exists()


def test_an_output_that_is_a_file_is_named(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"new cannot be written \(Not a directory\)"):
        reshard(sound, tmp_path / "new", 9, workers=1)


def test_a_folder_is_not_written_over(sound: Path) -> None:
    with pytest.raises(ConfigError, match="is one of the folders to read"):
        reshard(sound, sound, 9, workers=1)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    records = {"train": [Record("tiny", str(number), "drawn") for number in range(3)]}
    folder = write_tiny(tmp_path / "old", records)
    split = Split.open(folder, "train")
    with split.shard_paths[0].open("r+b") as tar:
        tar.seek(int(split.image_offset[1]) + 40)
        tar.write(b"damage")
    message = rf"old/train/.*\.tar: sample {split.keys[1]} is altered .*run `mmfm data verify` {folder}, or "
    with pytest.raises(DataError, match=message):
        reshard(folder, tmp_path / "new", 9, workers=1)


def test_what_was_refused_comes_along(tmp_path: Path) -> None:
    note = Note("M", "A mole.", audit={"findings": [], "scores": {"recall": 1.0}})
    records = {
        "train": [Record("tiny", "1", "drawn", notes={"M": note}), Record("tiny", "2", "drawn")],
        "test": [Record("tiny", "3", "drawn")],
    }
    line = {"note": "M", "text": "A lie.", "reasons": ["class", "age"], "findings": [], "provenance": {}}
    refused = [{**line, "key": f"tiny-{number}"} for number in (2, 3)]
    folder = write_tiny(tmp_path / "old", records, refused=refused)
    audit = {"version": "7", "notes": {"M": {"packed": 1}}}
    manifest = Manifest.read(folder)
    manifest.audit = audit
    manifest.write(folder)
    (folder / "rejects.csv").write_text("dataset,row,file,reason\ntiny,4,x.jpg,file is missing\n")

    new = reshard(folder, tmp_path / "new", 9, ["train"], workers=1)
    kept = [json.loads(line) for line in (tmp_path / "new" / "refused_notes.jsonl").read_text().splitlines()]
    assert kept == refused[:1]
    counts = new.audit["notes"]["M"]
    assert (counts["packed"], counts["refused"], counts["reasons"]) == (1, 1, {"age": 1, "class": 1})
    assert new.audit["version"] == "7"
    with (tmp_path / "new" / "rejects.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["x.jpg"]
    assert verify(tmp_path / "new", workers=1) == []


def test_a_line_that_is_no_refused_note_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "old", {"train": [Record("tiny", "1", "drawn")]}, refused=[{"key": "x"}])
    with pytest.raises(DataError, match=r"refused_notes\.jsonl, line 1"):
        reshard(folder, tmp_path / "new", 9, workers=1)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(*[st.integers(0, 9)] * 3).filter(any),
    before=st.integers(1, 6),
    after=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_nothing_is_lost_or_doubled(
    sizes: tuple[int, int, int],
    before: int,
    after: int,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.mktemp("any")
    records = {
        split: [
            Record(f"set{number % 2}", f"{split}{number}", "drawn", label=number % 8) for number in range(n)
        ]
        for split, n in zip(("train", "val", "test"), sizes, strict=True)
    }
    folder = write_tiny(base / "old", records, before)
    manifest = reshard(folder, base / "new", after, seed=seed, workers=1)
    assert contents(base / "new") == contents(folder)
    assert tuple(part.samples for part in manifest.splits.values()) == sizes
    for part in manifest.splits.values():
        assert all(0 < info.samples <= after for info in part.shards)
