"""Copying samples of finished shards into new ones: images byte for byte, records as they are or renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_tools.shards.origin import Entry, Origin, Stored, damage, read_entries
from data_tools.shards.plan import PARTS, Place, Plan, deal_tars
from data_tools.shards.resume import hold, write_missing
from data_tools.shards.writer import ShardReport, new_tar, record_bytes, write_whole
from mmfm import __version__
from mmfm.data.index import CorruptSample, read_member
from mmfm.data.manifest import MANIFEST_NAME, Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.records import Record

SMALL = 30_000_000  # bytes that are copied sooner than further processes start


@dataclass(frozen=True)
class Edit:
    """What changes in the records of an origin: nothing, or other names and fewer notes.

    `prefix` goes before the names of datasets, and so before the keys; `notes` are the notes to keep, None
    for all.
    """

    prefix: str = ""
    notes: tuple[str, ...] | None = None

    def renamed(self, name: str) -> Edit:
        """The same with a prefix made from a folder's name, fit for keys."""
        return replace(self, prefix=re.sub(r"[^\w-]", "_", name))

    def key(self, key: str) -> str:
        """A key, or a name that begins one, after the edit."""
        return f"{self.prefix}_{key}" if self.prefix else key

    def named(self, record: Record) -> Record:
        """A record under its new names."""
        if not self.prefix:
            return record
        return replace(record, dataset=self.key(record.dataset))

    def kept(self, notes: Sequence[str]) -> tuple[str, ...]:
        """Those of the notes that stay."""
        return tuple(name for name in notes if self.notes is None or name in self.notes)

    def apply(self, record: Record) -> Record:
        """A record under its new names, with the notes that stay."""
        kept = {name: record.notes[name] for name in self.kept(list(record.notes))}
        return replace(self.named(record), notes=kept)


@dataclass(frozen=True)
class Copy:
    """A stored sample and what changes in its record."""

    stored: Stored
    edit: Edit


@dataclass
class CopyJob:
    """The samples of one new tar, in order. `name` is its path below the output folder, without suffix."""

    name: str
    split: str
    copies: list[Copy]

    @property
    def newest_input(self) -> float:
        """0: a sample that changes changes its origin's manifest, and so the plan."""
        return 0.0


@dataclass
class Selection:
    """What goes into the new folder: entries under their new names, and how many of each origin do not."""

    origins: list[Origin]
    entries: list[Entry]
    edits: list[Edit]  # by origin
    left_out: list[Counter[str]] = field(init=False)  # by origin: reason -> samples

    def __post_init__(self) -> None:
        self.left_out = [Counter() for _ in self.origins]

    @classmethod
    def read(cls, origins: list[Origin], edit: Edit, drop_damaged: bool) -> Selection:
        """All samples of `origins`; `drop_damaged` reads their images too and leaves out damaged samples.

        Raises as `read_entries`.
        """
        damaged: Counter[int] = Counter()
        entries = read_entries(origins, damaged if drop_damaged else None)
        selection = cls(origins, entries, [edit for _ in origins])
        for number, samples in damaged.items():
            selection.left_out[number]["damaged"] = samples
        return selection

    def drop(self, entries: Sequence[Entry], reason: str) -> None:
        """Leave out entries, for a reason that the manifest will tell."""
        gone = set(map(id, entries))
        for entry in entries:
            self.left_out[entry.origin][reason] += 1
        self.entries = [entry for entry in self.entries if id(entry) not in gone]


def repack(
    output: Path,
    selection: Selection,
    settings: dict[str, Any],
    samples_per_shard: int,
    seed: int,
    finish: Callable[[Plan, list[ShardReport]], Manifest],
    workers: int = 0,
) -> Manifest:
    """Write the selected samples into a new folder of shards and return its manifest.

    Interrupted, it goes on where it stopped; finished, it returns at once. `finish` makes the manifest and
    writes what lies beside the shards. `settings` are those that led to the selection: the plan compares
    them. Raises `ConfigError` when the output folder holds something else, `DataError` for damaged shards
    and where nothing is left.
    """
    if not selection.entries:
        raise DataError("no sample is left to write: loosen the filters")
    if any(output.resolve() == origin.folder.resolve() for origin in selection.origins):
        raise ConfigError(f"{output} is one of the folders to read: choose another output")
    plan = plan_of(selection, {**settings, "samples_per_shard": samples_per_shard, "shuffle_seed": seed})
    plan.check(output)
    if not (output / MANIFEST_NAME).is_file():
        with hold(output):
            plan.claim(output)
            if not (output / MANIFEST_NAME).is_file():
                jobs = copy_jobs(selection, samples_per_shard, seed)
                workers = workers or (1 if _size(selection) < SMALL else 0)
                reports = write_missing(jobs, output, partial(copy_shard, output=output), workers)
                finish(plan, reports).write(output)
        shutil.rmtree(output / PARTS, ignore_errors=True)
    return Manifest.read(output)


def _size(selection: Selection) -> int:
    """Bytes of the images to copy."""
    return sum(entry.stored.image[1] for entry in selection.entries)


def plan_of(selection: Selection, settings: dict[str, Any]) -> Plan:
    """The plan of a selection: its settings, the manifests of its origins, and every sample in it."""
    digest = hashlib.sha256()
    for entry in selection.entries:
        stored = entry.stored
        identity = (entry.origin, entry.split, stored.key, stored.image[1:], stored.record[1:])
        digest.update(repr(identity).encode())
    sources = [{"name": origin.name, "manifest": origin.digest} for origin in selection.origins]
    return Plan(f"mmfm {__version__}", {**settings, "sources": sources}, digest.hexdigest())


def copy_jobs(selection: Selection, samples_per_shard: int, seed: int) -> list[CopyJob]:
    """The new tars: by split and dataset, mixed by a hash, as those of `mmfm data shard`."""
    entries, edits = selection.entries, selection.edits
    copies = [Copy(entry.stored, edits[entry.origin]) for entry in entries]
    places = [
        Place(entry.split, entry.record.dataset, copy.edit.key(copy.stored.key))
        for entry, copy in zip(entries, copies, strict=True)
    ]
    tars = deal_tars(places, samples_per_shard, seed)
    return [CopyJob(tar.name, tar.split, [copies[number] for number in tar.members]) for tar in tars]


def copy_shard(job: CopyJob, output: Path) -> ShardReport:
    """Write the tar and the index of a job. Raises `DataError` for a sample that is damaged."""

    def fill(tar: Path) -> ShardReport:
        notes: Counter[str] = Counter()
        with new_tar(tar) as write, _Tars() as tars:
            for copy in job.copies:
                image, data = tars.read(copy.stored)
                record = Record.from_json(json.loads(data))
                if copy.edit != Edit():
                    record = copy.edit.apply(record)
                    data = record_bytes(record)
                write(copy.edit.key(copy.stored.key), image, data)
                notes.update(record.notes.keys())
        return ShardReport(job.split, None, [], dict(notes))

    return write_whole(job, output, fill)


class _Tars:
    """Open tars by path, closed together: the samples of a new tar may come from all the old ones."""

    MOST = 64

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __enter__(self) -> _Tars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self, stored: Stored) -> tuple[bytes, bytes]:
        """The image and the record of a sample. Raises `DataError` that names tar and sample."""
        try:
            fd = self._fd(stored.tar)
            return read_member(fd, stored.key, *stored.image), read_member(fd, stored.key, *stored.record)
        except CorruptSample as error:
            raise damage(Path(stored.tar), Path(stored.tar).parents[1], error) from error
        except OSError as error:
            raise DataError(f"{stored.tar} cannot be read: {error.strerror}") from error

    def _fd(self, path: str) -> int:
        """A descriptor to read the tar with, until the next call."""
        if path not in self._open:
            if len(self._open) >= self.MOST:
                self._close()
            self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return self._open[path]

    def _close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
