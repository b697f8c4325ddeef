"""`ls`: the samples of a folder of shards, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_tools.notes.audit.findings import kinds_in
from data_tools.shards.summary import code_of
from mmfm.data.index import Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES, label_of


@dataclass(frozen=True)
class Row:
    """One sample and where it lies."""

    key: str
    split: str
    shard: str
    record: Record
    image_bytes: int


def list_samples(
    folder: Path, split: str = "", dataset: str = "", label: str = "", limit: int = 20
) -> list[Row]:
    """The first `limit` samples (0: all) of a split, dataset and class; "" takes any.

    `label` is a class code or name. Raises `ConfigError` for a split, dataset or class that does not exist.
    """
    manifest = Manifest.read(folder)
    splits = [name for name, info in manifest.splits.items() if info.samples and split in ("", name)]
    datasets = sorted({name for info in manifest.splits.values() for name in info.by_dataset})
    if not splits:
        filled = ", ".join(name for name, info in manifest.splits.items() if info.samples)
        raise ConfigError(f"split {split!r} of {folder} has no samples. Splits with samples: {filled}")
    if dataset and dataset not in datasets:
        raise ConfigError(f"{folder} has no dataset {dataset!r}. It has: {', '.join(datasets)}")
    rows = _rows(Path(folder), splits, dataset, _wanted(label))
    return list(islice(rows, limit or None))


def print_samples(folder: Path, split: str = "", dataset: str = "", label: str = "", limit: int = 20) -> None:
    """Print the samples of `list_samples`: a line for each, its notes below with what the audit found."""
    rows = list_samples(folder, split, dataset, label, limit)
    for row in rows:
        size = f"{row.image_bytes / 1e3:.1f} kB"
        print(row.key, code_of(row.record.label) or "-", row.record.domain, row.shard, size, sep="  ")
        for name, note in row.record.notes.items():
            found = ", ".join(sorted(set(kinds_in(note.audit))))
            print(f"    {name}{f' [{found}]' if found else ''}: {note.text}")
    if not rows:
        print(f"no sample of {folder} is of that kind")


def _wanted(label: str) -> int | None:
    try:
        return label_of(label) if label else None
    except KeyError as error:
        raise ConfigError(f"unknown class {label!r}: one of {', '.join(CODES)}, or its name") from error


def _rows(folder: Path, splits: list[str], dataset: str, label: int | None) -> Iterator[Row]:
    for name in splits:
        split = Split.open(folder, name)
        for sample in range(len(split)):
            if dataset not in ("", split.dataset[sample]) or label not in (None, split.label[sample]):
                continue
            shard = split.shard_paths[split.shard[sample]].relative_to(folder).as_posix()
            size = int(split.image_size[sample])
            yield Row(split.keys[sample], name, shard, split.read_record(sample), size)
