"""Tiny shards written for these tests alone, by the library and the functions that write real ones."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset as wds
from PIL import Image

from mmfm.config.schema import DataConfig
from mmfm.data.index import build_index, write_index
from mmfm.data.manifest import DomainCounts, Manifest, ShardInfo, SplitInfo
from mmfm.data.tokenizer import Tokenizer, fit_tokenizer
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, CODES

DATASETS = ("alpha", "beta")
WriteShards = Callable[..., Path]


def picture(number: int) -> bytes:
    """A JPEG that differs from all others: a colour gradient with some noise, of varying shape."""
    generator = np.random.default_rng(number)
    height, width = 40 + number % 5 * 6, 48 + number % 3 * 8
    ramp = np.linspace(0, 160, width)[None, :, None] + generator.integers(0, 60, 3)
    pixels = np.broadcast_to(ramp, (height, width, 3)) + generator.integers(0, 30, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def record(number: int) -> Record:
    """Two datasets, all classes; note M for all, note D for every second sample; some notes alike."""
    label = number % len(CLASSES)
    made = Record(DATASETS[number % 7 == 0], f"{number:04d}", "drawn", label=label)
    words = " ".join(["lesion"] * (1 + number % 4))
    made.notes["M"] = Note("M", f"a {CLASSES[label].name} {words}")
    if number % 2:
        made.notes["D"] = Note("D", f"dark spot number {number}")
    return made


def write_split(folder: Path, name: str, shards: list[list[Record]], pictures: list[bytes]) -> SplitInfo:
    """Write the tars and indexes of one split and return its part of the manifest."""
    info = SplitInfo()
    left = iter(pictures)
    (folder / name).mkdir(parents=True)
    for place, records in enumerate(shards):
        tar, index = f"{name}/set-{place:06d}.tar", f"{name}/set-{place:06d}.idx.parquet"
        with wds.TarWriter(str(folder / tar), mtime=0) as writer:
            for one in records:
                text = json.dumps(one.to_json(), sort_keys=True)
                writer.write({"__key__": one.key, "jpg": next(left), "json": text.encode()})
        write_index(folder / index, build_index(folder / tar))
        size, digest = (folder / tar).stat().st_size, hashlib.sha256((folder / tar).read_bytes()).hexdigest()
        info.shards.append(ShardInfo(tar, len(records), size, digest, index, ""))
        info.samples += len(records)
        for one in records:
            counts = info.by_dataset.setdefault(one.dataset, {}).setdefault(one.domain, DomainCounts(0))
            counts.samples += 1
            counts.labels[CODES[one.label]] = counts.labels.get(CODES[one.label], 0) + 1
    return info


@pytest.fixture(scope="session")
def write_shards() -> WriteShards:
    """`write_shards(folder, sizes)`: a `train` split of shards of these sizes; returns the folder."""

    def write(folder: Path, sizes: tuple[int, ...] = (9, 13, 5, 11), change: Any = None) -> Path:
        records = [record(number) for number in range(sum(sizes))]
        for one in records:
            if change is not None:
                change(one)
        ends = np.cumsum((0, *sizes))
        shards = [records[a:b] for a, b in itertools.pairwise(ends)]
        split = write_split(folder, "train", shards, [picture(number) for number in range(len(records))])
        Manifest("test", "", ["D", "M"], list(CODES), {"train": split, "val": SplitInfo()}).write(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def tiny(write_shards: WriteShards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """38 samples in four shards. Tests read them; caches beside them are all that may be added."""
    return write_shards(tmp_path_factory.mktemp("tiny") / "shards")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer fitted on the notes of `tiny`."""
    return fit_tokenizer((note.text for n in range(38) for note in record(n).notes.values()), 400)


@pytest.fixture
def data_config(tiny: Path) -> DataConfig:
    """The stream of `tiny` at 16 pixels, with both notes and windows of two shards."""
    return DataConfig(
        shards=str(tiny), image_size=16, notes={"M": 0.5, "D": 0.5}, window=2, workers=0, prefetch=2
    )
