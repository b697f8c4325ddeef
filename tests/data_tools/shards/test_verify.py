"""Every kind of damage to a folder of shards is found, and found where it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools.shards.problems import Problem
from data_tools.shards.verify import verify
from mmfm.data.index import build_index, read_index, write_index
from mmfm.data.manifest import Manifest
from mmfm.errors import DataError

TAR = "train/tiny-000001.tar"
Members = list[tuple[str, bytes]]


@pytest.fixture()
def folder(sound, tmp_path) -> Path:
    """A sound folder of shards, for this test to damage."""
    return shutil.copytree(sound, tmp_path / "shards")


def problems(folder: Path, decode: bool = False) -> list[Problem]:
    return verify(folder, decode=decode, workers=1)


def kinds(found: list[Problem]) -> set[tuple[str, str, str]]:
    return {(problem.kind, problem.shard, problem.key) for problem in found}


def rewrite(tar: Path, change: Callable[[Members], Members]) -> None:
    """Write a tar again with its members changed."""
    with tarfile.open(tar) as old:
        members = [(info.name, old.extractfile(info).read()) for info in old]
    with tarfile.open(tar, "w") as new:
        for name, data in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


def adopt(folder: Path, path: str = TAR) -> None:
    """Make index and checksums fit a changed tar, as if it had been written so; counts stay as they are."""
    manifest = Manifest.read(folder)
    info = next(s for part in manifest.splits.values() for s in part.shards if s.path == path)
    write_index(folder / info.index, build_index(folder / path))
    info.bytes = (folder / path).stat().st_size
    info.sha256 = hashlib.sha256((folder / path).read_bytes()).hexdigest()
    info.index_sha256 = hashlib.sha256((folder / info.index).read_bytes()).hexdigest()
    manifest.write(folder)


def edited(member: str, **changes: object) -> Callable[[Members], Members]:
    """Change fields of one JSON member."""

    def change(members: Members) -> Members:
        found = dict(members)
        record = {**json.loads(found[member]), **changes}
        return list({**found, member: json.dumps(record, sort_keys=True).encode()}.items())

    return change


@pytest.fixture()
def index(folder):
    return read_index(folder / "train" / "tiny-000001.idx.parquet")


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_sound_folder_has_no_problems(folder):
    assert problems(folder, decode=True) == []
    assert verify(folder, workers=2) == []


def test_an_altered_member_is_named(folder, index):
    overwrite(folder / TAR, index.image_offset[2] + 100, b"XXXX")
    assert kinds(problems(folder)) == {("checksum", TAR, ""), ("altered", TAR, index.key[2])}


def test_an_altered_record_is_named(folder, index):
    overwrite(folder / TAR, index.json_offset[3], b"[")
    found = problems(folder)
    expected = {("checksum", TAR, ""), ("altered", TAR, index.key[3]), ("json", TAR, index.key[3])}
    assert kinds(found) == expected


@pytest.mark.parametrize("damage", [b"\xff" * 100, bytes(512)])
@pytest.mark.parametrize("row", [0, 4])
def test_a_damaged_header_does_not_hide_what_follows(folder, index, damage, row):
    overwrite(folder / TAR, index.json_offset[row] - 512, damage)
    overwrite(folder / TAR, index.image_offset[6] + 100, b"XXXX")
    expected = {("checksum", TAR, ""), ("altered", TAR, index.key[row]), ("altered", TAR, index.key[6])}
    assert kinds(problems(folder)) == expected


def test_a_truncated_shard_names_the_samples_it_lost(folder, index):
    os.truncate(folder / TAR, index.image_offset[5] + 10)
    expected = {("checksum", TAR, ""), ("truncated", TAR, "")}
    expected |= {("truncated", TAR, index.key[5]), ("truncated", TAR, index.key[6])}
    assert kinds(problems(folder)) == expected


def test_an_empty_shard_is_truncated(folder, index):
    os.truncate(folder / TAR, 0)
    assert {("truncated", TAR, key) for key in index.key} < kinds(problems(folder))


def test_a_missing_member_is_named(folder, index):
    lost = f"{index.key[1]}.json"
    rewrite(folder / TAR, lambda members: [item for item in members if item[0] != lost])
    found = problems(folder)
    assert ("missing", TAR, index.key[1]) in kinds(found)
    assert not [problem for problem in found if problem.kind == "altered"]
    assert ("index", TAR, "") in kinds(found)  # the members behind it have moved


def test_a_duplicated_member_is_named(folder, index):
    rewrite(folder / TAR, lambda members: [*members, members[4]])
    found = [problem for problem in problems(folder) if problem.kind == "duplicated"]
    assert kinds(found) == {("duplicated", TAR, index.key[2])}
    assert f"{index.key[2]}.jpg is there 2 times" in found[0].detail


def test_a_member_nobody_knows_is_named(folder):
    rewrite(folder / TAR, lambda members: [*members, ("stranger.jpg", b"x")])
    assert ("extra", TAR, "stranger") in kinds(problems(folder))


def test_a_sample_in_two_shards_is_named(folder, index):
    other = "val/tiny-000000.tar"
    with tarfile.open(folder / TAR) as tar:
        pair = [(name, tar.extractfile(name).read()) for name in tar.getnames()[:2]]
    rewrite(folder / other, lambda members: members + pair)
    adopt(folder, other)
    found = problems(folder)
    assert ("duplicated", other, index.key[0]) in kinds(found)
    assert any(problem.kind == "group" and "train" in problem.detail for problem in found)
    assert any(problem.kind == "counts" for problem in found)


def test_missing_and_extra_shards_are_named(folder):
    shutil.move(folder / TAR, folder / "train" / "tiny-000099.tar")
    assert kinds(problems(folder)) >= {
        ("missing shard", TAR, ""),
        ("extra shard", "train/tiny-000099.tar", ""),
    }


def test_a_swapped_shard_has_the_wrong_checksum(folder):
    shutil.copy(folder / "train" / "tiny-000000.tar", folder / TAR)
    assert {("checksum", TAR, ""), ("duplicated", TAR, "")} <= {
        (problem.kind, problem.shard, "") for problem in problems(folder)
    }


def test_a_missing_or_damaged_index_is_named(folder):
    first, second = (folder / "train" / f"tiny-00000{number}.idx.parquet" for number in (0, 1))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-20])
    found = problems(folder)
    assert kinds(found) == {("index", "train/tiny-000000.tar", ""), ("index", TAR, "")}
    assert "missing" in found[0].detail


def test_without_an_index_the_records_are_still_checked(folder, index):
    (folder / "train" / "tiny-000001.idx.parquet").unlink()
    overwrite(folder / TAR, index.json_offset[3], b"[")
    assert ("json", TAR, index.key[3]) in kinds(problems(folder))


def test_an_index_of_another_truth_is_named(folder, index):
    label = int(index.label[0])
    index.label = index.label.copy()
    index.label[0] = (label + 1) % 8
    write_index(folder / "train" / "tiny-000001.idx.parquet", index)
    manifest = Manifest.read(folder)
    info = next(s for s in manifest.splits["train"].shards if s.path == TAR)
    info.index_sha256 = hashlib.sha256((folder / info.index).read_bytes()).hexdigest()
    manifest.write(folder)
    assert kinds(problems(folder)) == {("index", TAR, index.key[0]), ("counts", "", "")}


def test_a_record_under_the_wrong_key_is_named(folder, index):
    rewrite(folder / TAR, edited(f"{index.key[0]}.json", image_id="someone"))
    adopt(folder)
    assert kinds(problems(folder)) == {("json", TAR, index.key[0])}


def test_an_undecodable_image_is_found_on_request(folder, index):
    name = f"{index.key[2]}.jpg"
    rewrite(folder / TAR, lambda members: [(n, d[: len(d) // 2] if n == name else d) for n, d in members])
    adopt(folder)
    assert problems(folder) == []
    assert kinds(problems(folder, decode=True)) == {("image", TAR, index.key[2])}


@pytest.mark.parametrize("what", ["samples", "labels", "domain"])
def test_false_counts_are_named(folder, what):
    manifest = Manifest.read(folder)
    part = manifest.splits["train"]
    if what == "samples":
        part.samples += 1
    elif what == "labels":
        part.by_dataset["tiny"]["drawn"].labels["MEL"] += 1
    else:
        part.by_dataset["tiny"]["invented"] = part.by_dataset["tiny"].pop("drawn")
    manifest.write(folder)
    found = problems(folder)
    assert {problem.kind for problem in found} == {"counts"}
    assert all("split train" in problem.detail for problem in found)


@pytest.mark.parametrize("field", ["lesion_id", "patient_id"])
def test_a_group_on_two_sides_is_named(folder, index, field):
    test_record = json.loads(_first_json(folder / "test" / "tiny-000000.tar"))
    rewrite(folder / TAR, edited(f"{index.key[0]}.json", **{field: test_record[field]}))
    adopt(folder)
    found = [problem for problem in problems(folder) if problem.kind == "group"]
    assert test_record[field] in found[0].detail
    assert TAR in found[0].detail and "test/tiny-000000.tar" in found[0].detail


def _first_json(tar: Path) -> bytes:
    with tarfile.open(tar) as file:
        return file.extractfile(next(name for name in file.getnames() if name.endswith(".json"))).read()


def test_a_folder_without_a_manifest_is_refused(folder):
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        verify(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"no dataset\.json"):
        verify(folder)
