"""`stats`: what a folder of shards holds, counted from the shards themselves."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from data_tools.notes.audit.findings import kinds_in
from data_tools.shards.reading import OneShard, read_refused, shards_of
from data_tools.shards.summary import code_of
from data_tools.workers import each
from mmfm.data.index import CorruptSample
from mmfm.data.manifest import Manifest
from mmfm.records import Note, Record

Slice = tuple[str, str, str]  # split, dataset, domain
METADATA = ("age", "sex", "site", "skin_tone", "confirmation", "description", "lesion_id", "patient_id")


@dataclass
class NoteStats:
    """The notes of one name."""

    words: Counter[int] = field(default_factory=Counter)  # notes by length in words
    audited: int = 0
    flagged: int = 0  # with a finding of any kind
    findings: Counter[str] = field(default_factory=Counter)  # notes with a finding, by its kind
    scores: dict[str, list[float]] = field(default_factory=dict)  # score -> [sum, notes that have it]

    @property
    def notes(self) -> int:
        """How many there are."""
        return self.words.total()

    def mean(self, score: str) -> float | None:
        """Mean of a score over the notes that have it."""
        total, notes = self.scores.get(score, (0.0, 0))
        return total / notes if notes else None

    def count(self, note: Note) -> None:
        """Take a note. Audits of any version will do: what they lack is not counted."""
        self.words[len(note.text.split())] += 1
        if not note.audit:
            return
        self.audited += 1
        kinds = set(kinds_in(note.audit))
        self.flagged += bool(kinds)
        self.findings.update(kinds)
        for score, value in (note.audit.get("scores") or {}).items():
            if not isinstance(value, int | float):
                continue
            total, notes = self.scores.get(score, (0.0, 0))
            self.scores[score] = [total + value, notes + 1]

    def add(self, other: NoteStats) -> None:
        """Add the counts of other notes."""
        self.words += other.words
        self.audited += other.audited
        self.flagged += other.flagged
        self.findings += other.findings
        for score, (total, notes) in other.scores.items():
            mine = self.scores.get(score, (0.0, 0))
            self.scores[score] = [mine[0] + total, mine[1] + notes]


@dataclass
class SliceStats:
    """One domain of one dataset in one split."""

    samples: int = 0
    labels: Counter[str] = field(default_factory=Counter)  # by class code; "" for unknown labels
    image_bytes: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # images by (width, height) in pixels
    notes: dict[str, NoteStats] = field(default_factory=dict)  # by name
    known: Counter[str] = field(default_factory=Counter)  # records that tell a field, of METADATA
    subclasses: Counter[str] = field(default_factory=Counter)  # by subclass of the taxonomy; "": none known
    licenses: Counter[str] = field(default_factory=Counter)  # "": not told
    unreadable: int = 0  # samples with damaged bytes, or an image above Pillow's limit of pixels

    def add(self, other: SliceStats) -> None:
        """Add the counts of another slice."""
        self.samples += other.samples
        self.image_bytes += other.image_bytes
        self.unreadable += other.unreadable
        for name in ("labels", "sizes", "known", "subclasses", "licenses"):
            getattr(self, name).update(getattr(other, name))
        for name, notes in other.notes.items():
            self.notes.setdefault(name, NoteStats()).add(notes)


@dataclass
class Refusals:
    """Refused notes of one name, by reason; a note may have several."""

    notes: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Stats:
    """A whole folder: slices in the order of the manifest, bytes of tars by split, refused notes by name."""

    folder: Path
    slices: dict[Slice, SliceStats]
    tar_bytes: dict[str, int]
    refused: dict[str, Refusals] = field(default_factory=dict)

    @property
    def whole(self) -> SliceStats:
        """All slices together."""
        total = SliceStats()
        for part in self.slices.values():
            total.add(part)
        return total

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for programs."""
        return {
            "folder": str(self.folder),
            "tar_bytes": self.tar_bytes,
            "slices": [
                {"split": split, "dataset": dataset, "domain": domain, **_plain(part)}
                for (split, dataset, domain), part in self.slices.items()
            ],
            "refused": {
                name: {"notes": refused.notes, "reasons": dict(refused.reasons.most_common())}
                for name, refused in self.refused.items()
            },
        }


def stats(folder: Path, workers: int = 0) -> Stats:
    """Count a folder of shards. Raises `DataError` for a missing manifest, shard or index."""
    folder = Path(folder)
    manifest = Manifest.read(folder)
    shards = shards_of(folder, manifest)
    slices: dict[Slice, SliceStats] = {}
    for shard, counted in zip(shards, each(count_shard, shards, "counting shards", workers), strict=True):
        for (dataset, domain), part in counted.items():
            slices.setdefault((shard.split, dataset, domain), SliceStats()).add(part)
    tar_bytes = {split: sum(info.bytes for info in part.shards) for split, part in manifest.splits.items()}
    return Stats(folder, slices, tar_bytes, _refused(folder))


def count_shard(shard: OneShard) -> dict[tuple[str, str], SliceStats]:
    """Counts of one shard by dataset and domain."""
    split = shard.open()
    counted: dict[tuple[str, str], SliceStats] = {}
    for row in range(len(split)):
        part = counted.setdefault((str(split.dataset[row]), str(split.domain[row])), SliceStats())
        part.samples += 1
        part.labels[code_of(split.label[row])] += 1
        part.image_bytes += int(split.image_size[row])
        try:
            record = split.read_record(row)
            with Image.open(io.BytesIO(split.read_image(row))) as image:
                part.sizes[image.size] += 1
        except (CorruptSample, OSError, Image.DecompressionBombError):
            part.unreadable += 1
            continue
        _count_record(part, record)
    return counted


def _count_record(part: SliceStats, record: Record) -> None:
    part.known.update(name for name in METADATA if getattr(record, name) not in ("", None))
    part.subclasses[record.matched_subclass] += 1
    part.licenses[record.license] += 1
    for name, note in record.notes.items():
        part.notes.setdefault(name, NoteStats()).count(note)


def _refused(folder: Path) -> dict[str, Refusals]:
    refused: dict[str, Refusals] = {}
    for line in read_refused(folder):
        of_name = refused.setdefault(line["note"], Refusals())
        of_name.notes += 1
        of_name.reasons.update(line["reasons"])
    return refused


def _plain(part: SliceStats) -> dict[str, Any]:
    return {
        "samples": part.samples,
        "unreadable": part.unreadable,
        "labels": dict(part.labels),
        "subclasses": dict(part.subclasses),
        "licenses": dict(part.licenses),
        "known": {name: part.known[name] for name in METADATA},
        "image_bytes": part.image_bytes,
        "sizes": {f"{width}x{height}": images for (width, height), images in part.sizes.items()},
        "notes": {
            name: {
                "notes": notes.notes,
                "words": {str(length): times for length, times in sorted(notes.words.items())},
                "audited": notes.audited,
                "flagged": notes.flagged,
                "findings": dict(notes.findings.most_common()),
                "scores": {score: notes.mean(score) for score in sorted(notes.scores)},
            }
            for name, notes in part.notes.items()
        },
    }
