"""The loader benchmark measures all contestants and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmfm.data import benchmark


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
