"""Which lesions the page shows, and what of them: not too many, spread over notes, findings and classes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from data_tools.images.open import UnusableImage, open_rgb
from data_tools.notes.audit.findings import KINDS, SHORTFALLS, Audit
from data_tools.notes.audit.report.marks import Piece, pieces
from data_tools.notes.facts import given
from mmfm.progress import track
from mmfm.records import Note, Record

LESIONS = 120  # most lesions shown
IMAGE_BYTES = 2_000_000  # most bytes of their images in the page, as text
TEXT = 2500  # most characters of a note
FINDINGS = 12  # most findings listed for a note
SIDE = 192  # greatest side of an image, in pixels
QUALITY = 78
Bucket = tuple[str, str, str]  # note name, kind of finding or class, which of the two


@dataclass(frozen=True)
class AuditedNote:
    """A note, what was found, and why it is not packed ([]: it is)."""

    note: Note
    audit: Audit
    reasons: list[str]

    @property
    def kinds(self) -> list[str]:
        """Kinds of its findings, and reasons that are none ("recall"), each once."""
        found = self.audit.kinds() | set(self.reasons)
        return [kind for kind in (*KINDS, *SHORTFALLS) if kind in found]

    @property
    def pieces(self) -> list[Piece]:
        """What is shown of its text, cut for marking."""
        return pieces(self.note.text[:TEXT], self.audit.findings)

    @property
    def unshown(self) -> int:
        """Characters of its text that are not shown."""
        return max(0, len(self.note.text) - TEXT)

    @property
    def writer(self) -> str:
        """The model that wrote it, else "template" or whatever wrote it."""
        return str(self.note.provenance.get("model") or self.note.provenance.get("backend") or "")


@dataclass(frozen=True)
class AuditedLesion:
    """An image with its record and its notes."""

    record: Record
    image: Path
    notes: list[AuditedNote] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether one of its notes is."""
        return any(each.reasons for each in self.notes)

    @property
    def facts(self) -> dict[str, str]:
        """What a writer that is told the metadata is told."""
        return given(self.record)


@dataclass(frozen=True)
class Example:
    """A lesion as the page shows it. `image` is a data URI, "" for one that cannot be read."""

    lesion: AuditedLesion
    image: str


def make_examples(lesions: Sequence[AuditedLesion], max_pixels: int) -> list[Example]:
    """Examples of the audit, those with refused notes first; always the same for the same audit."""
    chosen = sorted(choose(lesions), key=lambda number: (not lesions[number].refused, number))
    examples: list[Example] = []
    left = IMAGE_BYTES
    for number in track(chosen, "drawing examples"):
        image = _picture(lesions[number].image, max_pixels)
        left -= len(image)
        if left < 0:
            break
        examples.append(Example(lesions[number], image))
    return examples


def choose(lesions: Sequence[AuditedLesion], limit: int = LESIONS) -> list[int]:
    """At most `limit` numbers of lesions: in turn one for each kind of finding of each note name, rare ones
    first, and for each class whose notes of a name are packed."""
    buckets = _buckets(lesions)
    chosen: list[int] = []
    shown: Counter[Bucket] = Counter()
    of_lesion: dict[int, list[Bucket]] = {}
    for bucket, members in buckets.items():
        for number in members:
            of_lesion.setdefault(number, []).append(bucket)
    for turn in range(limit):
        for bucket in sorted(buckets, key=lambda name: (name[2] != "kind", len(buckets[name]), name)):
            if shown[bucket] > turn:
                continue  # with lesions that were chosen for something else
            left = [number for number in buckets[bucket] if number not in chosen]
            if not left:
                continue
            chosen.append(left[0])
            shown.update(of_lesion[left[0]])
            if len(chosen) == limit:
                return chosen
    return chosen


def _buckets(lesions: Sequence[AuditedLesion]) -> dict[Bucket, list[int]]:
    """Numbers of the lesions by what there is to see in one of their notes: class after class in turn, within
    a class mixed by a hash of their keys."""
    mixed = sorted(range(len(lesions)), key=lambda n: _mixing(lesions[n].record.key))
    buckets: dict[Bucket, list[int]] = {}
    for number in mixed:
        for bucket in _seen(lesions[number]):
            buckets.setdefault(bucket, []).append(number)
    return {bucket: _in_turn(members, lesions) for bucket, members in buckets.items()}


def _in_turn(numbers: Sequence[int], lesions: Sequence[AuditedLesion]) -> list[int]:
    """First the first lesion of each class, then the second of each, and so on."""
    met: Counter[int] = Counter()
    turns = {}
    for number in numbers:
        label = lesions[number].record.label
        turns[number] = met[label], label
        met[label] += 1
    return sorted(numbers, key=turns.__getitem__)


def _seen(lesion: AuditedLesion) -> Iterator[Bucket]:
    for each in lesion.notes:
        for kind in each.kinds:
            yield each.note.strategy, kind, "kind"
        if not each.reasons:
            yield each.note.strategy, lesion.record.class_name, "class"


def _mixing(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _picture(path: Path, max_pixels: int) -> str:
    """A small copy of an image as a data URI; "" where it cannot be read."""
    try:
        image = Image.fromarray(open_rgb(path, max_pixels))
    except UnusableImage:
        return ""
    image.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
