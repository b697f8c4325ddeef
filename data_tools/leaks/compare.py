"""What two sides share: lesions, patients, image ids, near-duplicate pictures, and the words of notes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from data_tools.config import DedupConfig, PrepareConfig
from data_tools.dedup import check, hash_images, near_pairs
from data_tools.groupids import LESION, PATIENT, GroupId, group_ids
from data_tools.leaks.sides import Sides
from mmfm.records import Record

IMAGE, NEAR, NOTE = "image id", "near-duplicate", "identical note"
KINDS = (LESION, PATIENT, IMAGE, NEAR, NOTE)
# Templates say the same of lesions of which the same is known, so equal words alone are no leak.
LEAKING = (LESION, PATIENT, IMAGE, NEAR)
# Ids of the ISIC archive mean the same in every data set that took images from there.
ARCHIVE_ID = re.compile(r"(ISIC|IL|IP)_\d+")

Identify = Callable[[Record], list[GroupId]]  # what identifies a record
IDENTIFY: dict[str, Identify] = {
    LESION: lambda record: [group for group in group_ids(record) if group.kind == LESION],
    PATIENT: lambda record: [group for group in group_ids(record) if group.kind == PATIENT],
    IMAGE: lambda record: [_image_id(record)],
    NOTE: lambda record: [
        GroupId(NOTE, "", f"{strategy}: {note.text}") for strategy, note in record.notes.items()
    ],
}


@dataclass(frozen=True)
class Shared:
    """One thing on both of two sides: an id, a note or a pair of pictures, with a sample from either side."""

    first: int  # places among `Sides.samples`
    second: int
    detail: str


@dataclass
class Finding:
    """All that two sides share of one kind."""

    kind: str
    first: int  # places among `Sides.sides`
    second: int
    leaks: bool  # one of them is trained on, the other is not, and the kind counts
    shared: list[Shared] = field(default_factory=list)
    samples: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))  # concerned on each


def find_leaks(sides: Sides, cfg: DedupConfig) -> list[Finding]:
    """What any two sides share, by kind and pair of sides; `cfg` says how near duplicates are.

    Lesions and patients are joined as for the splits that `mmfm data shard` and `mix` make (`group_ids`). An
    image id counts where the datasets have the same name, or if it is the archive's.
    """
    check(cfg)
    findings: dict[tuple[str, int, int], Finding] = {}
    for kind, identify in IDENTIFY.items():
        for first, second, value in _same(sides, identify):
            _add(findings, kind, sides, first, second, value)
    if cfg.enabled:
        for one, other, distance in _near(sides, cfg):
            _add(findings, NEAR, sides, [one], [other], f"{distance} bits")
    return sorted(findings.values(), key=lambda found: (not found.leaks, KINDS.index(found.kind)))


def _add(
    findings: dict[tuple[str, int, int], Finding],
    kind: str,
    sides: Sides,
    first: list[int],
    second: list[int],
    detail: str,
) -> None:
    """Note that the samples `first` of one side share something with those `second` of another."""
    a, b = sides.samples[first[0]].side, sides.samples[second[0]].side
    if a > b:
        a, b, first, second = b, a, second, first
    leaks = kind in LEAKING and sides.sides[a].trained_on != sides.sides[b].trained_on
    found = findings.setdefault((kind, a, b), Finding(kind, a, b, leaks))
    found.shared.append(Shared(first[0], second[0], detail))
    found.samples[0].update(first)
    found.samples[1].update(second)


def _same(sides: Sides, identify: Identify) -> Iterator[tuple[list[int], list[int], str]]:
    """Samples of one side, those of another, and what all of them have."""
    groups: dict[GroupId, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, sample in enumerate(sides.samples):
        for group in identify(sample.record):
            groups[group][sample.side].append(place)
    for group, by_side in groups.items():
        for a, b in combinations(sorted(by_side), 2):
            yield by_side[a], by_side[b], group.value


def _image_id(record: Record) -> GroupId:
    archived = ARCHIVE_ID.fullmatch(record.image_id)
    return GroupId(IMAGE, "" if archived else record.dataset, record.image_id)


def _near(sides: Sides, cfg: DedupConfig) -> Iterator[tuple[int, int, int]]:
    """Samples of two sides whose pictures are nearly the same, and their distance in bits."""
    count = len(sides.samples)
    places, hashes = hash_images(sides.images(), count, cfg, PrepareConfig.max_pixels)
    for i, j, distance in near_pairs(hashes, max(cfg.max_distance, cfg.max_distance_across)).tolist():
        first, second = (sides.samples[int(places[k])] for k in (i, j))
        same = first.record.dataset == second.record.dataset
        if first.side != second.side and distance <= (cfg.max_distance if same else cfg.max_distance_across):
            yield int(places[i]), int(places[j]), distance
