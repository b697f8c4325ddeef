"""What the page knows of every sample, read once: where it lies, what it can be filtered and sorted by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.browse.columns import Category, Flags, Texts
from data_tools.config import AuditConfig
from data_tools.notes.audit import KINDS
from data_tools.notes.audit.findings import is_exempt, kinds_in
from data_tools.shards.reading import OneShard, read_refused, shards_of
from data_tools.shards.summary import code_of
from data_tools.workers import each
from mmfm.data.index import SPLITS, CorruptSample, Split
from mmfm.data.manifest import MANIFEST_NAME, Manifest, SplitInfo
from mmfm.errors import DataError
from mmfm.files import file_digest
from mmfm.records import Record
from mmfm.taxonomy import CODES

REFUSED = "!"  # before the name of a note: refused ones
MANY = 30_000  # samples from which on it pays to read with several processes
CATEGORIES = ("split", "dataset", "domain", "label", "subclass", "sex")


@dataclass
class Rows:
    """Some samples, in columns of plain values. `row` numbers the samples of their split's shard."""

    key: list[str] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in CATEGORIES})
    age: list[float] = field(default_factory=list)  # nan: not known
    notes: list[tuple[str, ...]] = field(default_factory=list)
    kinds: list[tuple[str, ...]] = field(default_factory=list)  # of findings, with repetitions
    words: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    unreadable: int = 0
    lost: bool = False  # the whole shard, for want of its tar or its index

    def add(self, split: str, row: int, key: str, record: Record, exempt: Collection[str] = ()) -> None:
        """Add a sample. What was found in notes that are `exempt`, controls, is not counted."""
        told = (
            split,
            record.dataset,
            record.domain,
            code_of(record.label),
            record.matched_subclass or record.subclass,
            record.sex,
        )
        self.key.append(key)
        self.row.append(row)
        for name, value in zip(CATEGORIES, told, strict=True):
            self.values[name].append(value)
        self.age.append(float("nan") if record.age is None else float(record.age))
        notes = record.notes.values()
        judged = [note for name, note in record.notes.items() if not is_exempt(name, exempt)]
        self.notes.append(tuple(record.notes))
        self.kinds.append(tuple(kind for note in judged for kind in kinds_in(note.audit)))
        self.words.append(sum(len(note.text.split()) for note in notes))
        self.text.append("\n".join(note.text for note in notes))


def read_rows(shard: OneShard, exempt: Collection[str] = ()) -> Rows:
    """The rows of one shard; damaged samples are only counted, also all those of a shard that is missing."""
    rows = Rows()
    try:
        split = shard.open()
    except (DataError, OSError):
        return Rows(unreadable=shard.info.samples, lost=True)
    for row, key in enumerate(split.keys):
        try:
            rows.add(shard.split, row, str(key), split.read_record(row), exempt)
        except CorruptSample:
            rows.unreadable += 1
    return rows


class Table:
    """All samples of a folder of shards, numbered in the order of its manifest, and its refused notes."""

    def __init__(self, folder: Path, workers: int = 0) -> None:
        """Read every record once.

        Raises `DataError` without a finished folder of shards, and for one of which no sample can be read.
        """
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self.version = file_digest(folder / MANIFEST_NAME)[:12]
        shards = shards_of(folder, self.manifest)
        samples = sum(shard.info.samples for shard in shards)
        if not samples:
            raise DataError(f"{folder} has no samples")
        workers = workers if samples >= MANY else 1
        self._refused = _refused_notes(folder)
        self.exempt = _exempt(self.manifest)
        read_part = partial(read_rows, exempt=self.exempt)
        read: list[Rows] = []
        self.texts = Texts(self._texts(each(read_part, shards, "reading records", workers), read))
        self.unreadable = sum(rows.unreadable for rows in read)
        self.lost_shards = sum(rows.lost for rows in read)
        if self.unreadable == samples:
            raise DataError(f"none of the {samples} samples can be read: run `mmfm data verify {folder}`")
        there = [(shard, rows) for shard, rows in zip(shards, read, strict=True) if not rows.lost]
        shards, read = [shard for shard, _ in there], [rows for _, rows in there]
        self._place(shards, read)
        self._fill(read)

    def __len__(self) -> int:
        return len(self.keys)

    def record(self, sample: int) -> Record:
        """Record of a sample. Raises `CorruptSample`."""
        split, row = self._split_row(sample)
        return split.read_record(row)

    def image(self, sample: int) -> bytes:
        """Encoded image of a sample. Raises `CorruptSample`."""
        split, row = self._split_row(sample)
        return split.read_image(row)

    def refused(self, sample: int) -> list[dict[str, Any]]:
        """Refused notes of a sample, as `refused_notes.jsonl` has them."""
        return self._refused.get(self.keys[sample], [])

    def _split_row(self, sample: int) -> tuple[Split, int]:
        return self._splits[self._split_of[sample]], int(self._row[sample])

    def _place(self, shards: list[OneShard], read: list[Rows]) -> None:
        """Find each sample again: the split it is of, and its number there."""
        self.keys = [key for rows in read for key in rows.key]
        self.number = {key: sample for sample, key in enumerate(self.keys)}
        names = [shard.split for shard in shards]
        starts = []
        found: dict[str, SplitInfo] = {name: SplitInfo() for name in names}  # without shards that are lost
        for shard in shards:
            part = found[shard.split]
            starts.append(part.samples)
            part.samples += shard.info.samples
            part.shards.append(shard.info)
        self._splits = {name: Split(self.folder, name, Manifest(splits=found)) for name in found}
        self._split_of = [name for name, rows in zip(names, read, strict=True) for _ in rows.key]
        numbers = [start + row for start, rows in zip(starts, read, strict=True) for row in rows.row]
        self._row = np.array(numbers, np.int64)

    def _fill(self, read: list[Rows]) -> None:
        """Make the columns, refused notes among them."""
        orders = {"split": SPLITS, "label": CODES}
        self.categories = {
            name: Category.of([value for rows in read for value in rows.values[name]], orders.get(name, ()))
            for name in CATEGORIES
        }
        self.age = np.array([age for rows in read for age in rows.age], np.float32)
        self.words = np.array([words for rows in read for words in rows.words], np.int32)
        notes = [set(names) for rows in read for names in rows.notes]
        kinds = [list(found) for rows in read for found in rows.kinds]
        for key in self._refused.keys() & self.number.keys():  # rejected images leave refused notes behind
            for line in self._refused[key]:
                notes[self.number[key]].add(REFUSED + line["note"])
                kinds[self.number[key]] += kinds_in(line)
        order = self.manifest.notes
        self.notes = Flags.of(notes, [*order, *(REFUSED + name for name in order)])
        self.kinds = Flags.of(kinds, KINDS)
        self.findings = np.array([len(found) for found in kinds], np.int32)

    def _texts(self, parts: Iterable[Rows], read: list[Rows]) -> Iterator[list[str]]:
        """All notes of each sample, part by part; the parts go to `read` without them, to stay small."""
        for rows in parts:
            yield [
                "\n".join([text, *(str(line["text"]) for line in self._refused.get(key, ()))])
                for key, text in zip(rows.key, rows.text, strict=True)
            ]
            rows.text.clear()
            read.append(rows)


def _exempt(manifest: Manifest) -> list[str]:
    """Names of notes that the audit of these shards never refuses: controls, in which much is found."""
    audit = manifest.config.get("audit")
    named = audit.get("exempt") if isinstance(audit, dict) else None
    return [str(name) for name in named] if isinstance(named, list) else AuditConfig().exempt


def _refused_notes(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Refused notes by the key of their sample."""
    refused: dict[str, list[dict[str, Any]]] = {}
    for line in read_refused(folder):
        refused.setdefault(line["key"], []).append(line)
    return refused
