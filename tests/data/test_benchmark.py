"""The loader benchmark measures all contestants and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmfm.data import benchmark
from mmfm.data.index import Split
from mmfm.errors import DataError


def test_all_contestants_are_measured(write_shards: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "s")
    before = sorted(folder.rglob("*"))
    result = benchmark.loader_benchmark(folder, image_size=24, batch=8, workers=1, rounds=2, samples=64)
    assert sorted(folder.rglob("*")) == before
    names = [one.name for one in result.measurements]
    assert names == [
        benchmark.LIMIT, benchmark.STREAM, benchmark.STREAM_AUGMENTED, benchmark.WEBDATASET
    ]  # fmt: skip
    assert result.share(benchmark.LIMIT) == 1.0
    assert all(len(one.rates) == 2 and min(one.rates) > 0 for one in result.measurements)
    assert all(name in str(result) for name in names)


def test_corrupt_samples_are_passed_over_and_counted(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_shards(tmp_path / "s", (60, 60))
    split = Split.open(folder, "train")
    with split.shard_paths[0].open("r+b") as tar:
        for offset in (split.json_offset[2], split.image_offset[5]):
            tar.seek(int(offset))
            tar.write(b"damage")
    result = benchmark.loader_benchmark(folder, image_size=24, batch=8, workers=0, rounds=1, samples=120)
    assert result.corrupt == {"altered": 1}
    assert "passed over: 1 altered" in str(result)
    for path in split.shard_paths:
        path.write_bytes(b"")
    with pytest.raises(DataError):
        benchmark.loader_benchmark(folder, image_size=24, batch=8, workers=0, rounds=1, samples=8)
