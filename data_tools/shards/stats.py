"""`stats`: what a folder of shards holds, counted from the shards themselves."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from PIL import Image
from rich.console import Console
from rich.table import Table

from data_tools.shards.summary import code_of
from data_tools.workers import each
from mmfm.data.index import read_index
from mmfm.data.manifest import Manifest, ShardInfo
from mmfm.errors import DataError
from mmfm.records import Record
from mmfm.taxonomy import CODES

Slice = tuple[str, str, str]  # split, dataset, domain


@dataclass
class SliceStats:
    """One domain of one dataset in one split."""

    samples: int = 0
    labels: Counter[str] = field(default_factory=Counter)  # by class code; "" for unknown labels
    image_bytes: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # images by (width, height) in pixels
    words: dict[str, Counter[int]] = field(default_factory=dict)  # note strategy -> notes by length in words
    unreadable: int = 0  # samples whose bytes are damaged: run `mmfm data verify`

    def add(self, other: SliceStats) -> None:
        """Add the counts of another slice."""
        self.samples += other.samples
        self.labels += other.labels
        self.image_bytes += other.image_bytes
        self.sizes += other.sizes
        self.unreadable += other.unreadable
        for strategy, lengths in other.words.items():
            self.words.setdefault(strategy, Counter()).update(lengths)


@dataclass
class Stats:
    """A whole folder: its slices in the order of the manifest, and the bytes of the tars of each split."""

    folder: Path
    slices: dict[Slice, SliceStats]
    tar_bytes: dict[str, int]


@dataclass(frozen=True)
class ShardToCount:
    """One shard of a folder."""

    folder: Path
    split: str
    info: ShardInfo


def stats(folder: Path, workers: int = 0) -> Stats:
    """Count a folder of shards. Raises `DataError` for a missing manifest, shard or index."""
    folder = Path(folder)
    manifest = Manifest.read(folder)
    splits = manifest.splits.items()
    jobs = [ShardToCount(folder, split, info) for split, part in splits for info in part.shards]
    slices: dict[Slice, SliceStats] = {}
    for job, counted in zip(jobs, each(count_shard, jobs, "counting shards", workers), strict=True):
        for (dataset, domain), part in counted.items():
            slices.setdefault((job.split, dataset, domain), SliceStats()).add(part)
    tar_bytes = {split: sum(info.bytes for info in part.shards) for split, part in manifest.splits.items()}
    return Stats(folder, slices, tar_bytes)


def count_shard(job: ShardToCount) -> dict[tuple[str, str], SliceStats]:
    """Counts of one shard by dataset and domain."""
    index = read_index(job.folder / job.info.index)
    counted: dict[tuple[str, str], SliceStats] = {}
    try:
        with (job.folder / job.info.path).open("rb") as tar:
            for row in range(len(index)):
                part = counted.setdefault((index.dataset[row], index.domain[row]), SliceStats())
                part.samples += 1
                part.labels[code_of(index.label[row])] += 1
                part.image_bytes += int(index.image_size[row])
                image = os.pread(tar.fileno(), int(index.image_size[row]), int(index.image_offset[row]))
                record = os.pread(tar.fileno(), int(index.json_size[row]), int(index.json_offset[row]))
                _count_content(part, image, record)
    except FileNotFoundError as error:
        raise DataError(f"shard {job.folder / job.info.path} is missing: run `mmfm data verify`") from error
    return counted


def _count_content(part: SliceStats, image: bytes, record: bytes) -> None:
    try:
        notes = Record.from_json(json.loads(record)).notes
        size = Image.open(io.BytesIO(image)).size
    except (OSError, ValueError, TypeError, AttributeError):
        part.unreadable += 1
        return
    part.sizes[size] += 1
    for strategy, note in notes.items():
        part.words.setdefault(strategy, Counter())[len(note.text.split())] += 1


def print_stats(folder: Path, workers: int = 0) -> None:
    """Print what a folder of shards holds: classes, notes and images, by split, dataset and domain."""
    counted = stats(folder, workers)
    console = Console()
    for table in (_class_table(counted), _note_table(counted), _image_table(counted)):
        console.print(table)
    for split, size in counted.tar_bytes.items():
        samples = sum(part.samples for name, part in counted.slices.items() if name[0] == split)
        console.print(f"{split}: {samples} samples, {size / 1e6:.1f} MB of tars", highlight=False)
    unreadable = sum(part.unreadable for part in counted.slices.values())
    if unreadable:
        hint = f"run `mmfm data verify {folder}`"
        console.print(f"{unreadable} samples cannot be read: {hint}", highlight=False)


def _class_table(counted: Stats) -> Table:
    table = _table("Samples", "samples")
    table.add_column("classes")
    for name, part in counted.slices.items():
        classes = [f"{code or 'unknown'} {part.labels[code]}" for code in (*CODES, "") if part.labels[code]]
        table.add_row("/".join(name), str(part.samples), ", ".join(classes))
    return table


def _note_table(counted: Stats) -> Table:
    table = _table("Notes", "strategy", "notes", "words: min", "median", "max")
    for name, part in counted.slices.items():
        for strategy, lengths in sorted(part.words.items()):
            middle = f"{median(lengths.elements()):g}"
            table.add_row(
                "/".join(name), strategy, str(lengths.total()), str(min(lengths)), middle, str(max(lengths))
            )
    return table


def _image_table(counted: Stats) -> Table:
    table = _table("Images", "smallest", "commonest", "largest", "sizes", "kB each")
    for name, part in counted.slices.items():
        if part.sizes:
            smallest, largest = (pick(part.sizes, key=_area) for pick in (min, max))
            commonest = part.sizes.most_common(1)[0][0]
            shown = (f"{width}x{height}" for width, height in (smallest, commonest, largest))
            table.add_row(
                "/".join(name), *shown, str(len(part.sizes)), f"{part.image_bytes / part.samples / 1e3:.1f}"
            )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table("split/dataset/domain", title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
