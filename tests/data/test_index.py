"""The manifest, the index, and reading samples by number."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mmfm.data import index as index_module
from mmfm.data.index import CorruptSample, Split, build_index, read_index, write_index
from mmfm.data.manifest import Manifest
from mmfm.errors import DataError


def test_an_index_survives_its_file_and_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    built = build_index(tiny / "train" / "set-000000.tar")
    for name in ("a.parquet", "b.parquet"):
        write_index(tmp_path / name, built)
    again = read_index(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    for column, values in vars(built).items():
        assert (getattr(again, column) == values).all()
    assert again.label.dtype == np.int32 and again.image_offset.dtype == np.int64


def test_samples_read_by_number_are_those_of_the_tars(tiny: Path) -> None:
    split = Split.open(tiny, "train")
    number = 0
    for path in split.shard_paths:
        with tarfile.open(path) as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar}
        for key in dict.fromkeys(name.partition(".")[0] for name in members):
            assert split.keys[number] == key
            assert split.read_image(number) == members[f"{key}.jpg"]
            assert split.read_record(number).to_json() == json.loads(members[f"{key}.json"])
            number += 1
    assert number == len(split) == 38


def test_few_open_files_serve_many_threads(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "OPEN_FILES", 1)
    split = Split.open(tiny, "train")
    wanted = [int(i) for i in np.random.default_rng(0).integers(0, len(split), 400)]
    with ThreadPoolExecutor(4) as pool:
        keys = [record.key for record in pool.map(split.read_record, wanted)]
    assert keys == [split.keys[i] for i in wanted]
    assert len(split._open) <= 1


def test_kinds_of_damage(write_shards: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "s", (3, 3))
    split = Split.open(folder, "train")
    with split.shard_paths[0].open("r+b") as tar:
        tar.seek(int(split.image_offset[1]) + 30)
        tar.write(b"damage")
    split.shard_paths[1].write_bytes(split.shard_paths[1].read_bytes()[: int(split.json_offset[4]) + 3])
    with pytest.raises(CorruptSample, match=rf"{split.keys[1]} is altered") as altered:
        split.read_image(1)
    assert (altered.value.kind, altered.value.key) == ("altered", split.keys[1])
    with pytest.raises(CorruptSample, match="truncated"):
        split.read_record(4)
    split.close()
    split.shard_paths[0].unlink()
    with pytest.raises(CorruptSample, match="unreadable"):
        split.read_image(0)


def test_a_corrupt_sample_travels_between_processes() -> None:
    error = CorruptSample("altered", "set-1", "its checksum differs")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.kind, copy.key, str(copy)) == (error.kind, error.key, str(error))


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jpg": b"x"}, r"a has no a\.json"),
        ({"a.jpg": b"x", "a.json": b"{"}, r"a\.json is no record"),
        ({"a.txt": b"x"}, r"unexpected member a\.txt"),
    ],
)
def test_tars_that_hold_something_else_are_refused(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build_index(tar_of(tmp_path / "x.tar", members))


def test_a_file_that_is_no_tar_or_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match="cannot read the tar"):
        build_index(tmp_path / "x")
    with pytest.raises(DataError, match=r"index .*x is damaged"):
        read_index(tmp_path / "x")
    with pytest.raises(DataError, match="is missing"):
        read_index(tmp_path / "y")


def test_the_manifest_survives_its_file(tiny: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(tiny)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert manifest.splits["train"].by_dataset["beta"]["drawn"].samples == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no dataset\.json in"),
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "splits": {"train": {}}}', "damaged"),
        ('{"schema": 1, "splits": {}, "colour": 1}', "damaged"),
    ],
)
def test_manifests_that_cannot_be_used_say_why(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=message):
        Manifest.read(tmp_path)


def test_an_index_that_disagrees_with_the_manifest_is_named(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "s", (4, 5))
    index = folder / "train" / "set-000001.idx.parquet"
    index.write_bytes((folder / "train" / "set-000000.idx.parquet").read_bytes())
    with pytest.raises(DataError, match=r"set-000001\.idx\.parquet has 4 samples, the manifest says 5"):
        Split.open(folder, "train")
