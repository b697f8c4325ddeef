"""Splits: train, val and test without a lesion, a patient or a near-duplicate on two sides.

A data set that was published with a split keeps it on request (`SplitConfig.published`), as far as that rule
allows; one whose published parts overlap is split anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from data_tools.config import SplitConfig
from data_tools.groupids import GroupId, group_ids
from mmfm.data.index import SPLITS, TEST, TRAIN, VAL
from mmfm.errors import ConfigError
from mmfm.progress import say
from mmfm.records import Record

LEFT_OUT = ""
PUBLISHED = "split"  # key of record.extras: the published split, or several joined
JOINT = "+"
STRONGEST = (TEST, VAL, TRAIN)  # of the published sides of one group, the first of these stays
SMALLEST = 3  # a stratum of so many groups has one in each split that has a share
Stratum = tuple[str, int]  # dataset, label


def assign_splits(
    records: Sequence[Record],
    heldout: Sequence[bool],
    cfg: SplitConfig,
    duplicates: Iterable[tuple[int, int, int]] = (),
) -> list[str]:
    """The split of every record: "train", "val", "test", or "" for one that is left out.

    Records are joined into groups by lesion id, patient id (each as `group_ids` compares them) and
    near-duplicate pairs; a group stays on one side. Within each data set and label the groups are ordered by
    a hash of the seed and their smallest key, so the result does not depend on the order of `records`.

    `heldout` marks records that are never trained on. A group of only such records goes to test; in a group
    with trained-on records they follow it to test, and are left out if it is not there.

    With `cfg.published`, groups of data sets that come with a split (`extras["split"]`) go where it says. A
    group that it puts on two sides goes to test, else to val; a record that it does not name is left out,
    unless it belongs to a group that it names. A data set that has records in two parts of its split is
    dealt anew. What was not kept is said.
    Raises `ConfigError` when the shares leave nothing to train on.
    """
    if cfg.val < 0 or cfg.test < 0 or cfg.val + cfg.test >= 1:
        raise ConfigError(f"split: val={cfg.val} and test={cfg.test} must be >= 0 and sum to less than 1")
    group_of = group_records(records, duplicates)
    members: dict[int, list[int]] = {}
    for place, group in enumerate(group_of):
        members.setdefault(int(group), []).append(place)
    side = _published_sides(records, heldout, members.items()) if cfg.published else {}
    strata: dict[Stratum, list[tuple[bytes, int]]] = {}
    for group, places in members.items():
        trained = [records[place] for place in places if not heldout[place]]
        if trained and group not in side:
            order = _hash(cfg.seed, min(record.key for record in trained))
            strata.setdefault(_stratum(trained), []).append((order, group))
    for groups in strata.values():
        names = _deal(len(groups), cfg)
        side.update((group, name) for (_, group), name in zip(sorted(groups), names, strict=True))
    return [_follow(side.get(int(group)), held) for group, held in zip(group_of, heldout, strict=True)]


def joined(splits: Iterable[str]) -> str:
    """The value of `extras["split"]` for a record that is published in `splits`; "" for none."""
    return JOINT.join(sorted(set(splits), key=SPLITS.index))


def published_splits(record: Record) -> tuple[str, ...]:
    """The splits that a record was published in: none, one, or several that overlap.

    Raises `ConfigError` for a name that is no split.
    """
    names = tuple(filter(None, str(record.extras.get(PUBLISHED, "")).split(JOINT)))
    for name in names:
        if name not in SPLITS:
            raise ConfigError(
                f"{record.key}: published split {name!r} is not one of {', '.join(SPLITS)}: "
                "map the source's words with `values`, or set split.published=false"
            )
    return names


def overlaps(records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """How many records a data set has in two parts of its published split: (data set, parts) -> records."""
    parts = [(record.dataset, published_splits(record)) for record in records]
    return dict(Counter((dataset, " and ".join(names)) for dataset, names in parts if len(names) > 1))


def _published_sides(
    records: Sequence[Record], heldout: Sequence[bool], groups: Iterable[tuple[int, list[int]]]
) -> dict[int, str]:
    """The side of each group that published splits settle; what they put on two sides is said."""
    kept = _kept(records)
    side: dict[int, str] = {}
    parted = 0
    for group, places in groups:
        trained = [records[place] for place in places if not heldout[place]]
        published = [published_splits(record) for record in trained if record.dataset in kept]
        sides = {name for names in published for name in names}
        parted += len(sides) > 1
        if sides:
            side[group] = next(name for name in STRONGEST if name in sides)
        elif trained and len(published) == len(trained):
            side[group] = LEFT_OUT  # the publishers put none of it anywhere
    if parted:
        say(
            f"published splits: {parted} groups of one lesion, patient or picture stand on two sides; "
            "they go to test, or else to val, as a whole"
        )
    return side


def _kept(records: Sequence[Record]) -> frozenset[str]:
    """The data sets whose published split is kept; one that has parts in common is said."""
    overlapping = overlaps(records)
    for (dataset, parts), count in sorted(overlapping.items()):
        say(f"{dataset}: the published split has {count} records in both {parts}: it is split anew")
    there = {record.dataset for record in records if published_splits(record)}
    return frozenset(there - {dataset for dataset, _ in overlapping})


def group_records(records: Sequence[Record], duplicates: Iterable[tuple[int, int, int]] = ()) -> np.ndarray:
    """Group number of every record (n,): connected components over lesion, patient and duplicate pairs.

    Lesion and patient ids without a letter join records of one data set, others those of all (`group_ids`).
    """
    from scipy.sparse import coo_array  # here: who only looks into shards does not wait for it
    from scipy.sparse.csgraph import connected_components

    edges = [(i, j) for i, j, _ in duplicates]
    first: dict[GroupId, int] = {}
    for place, record in enumerate(records):
        edges += [(first.setdefault(group, place), place) for group in group_ids(record)]
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    ones = np.ones(len(rows), dtype=np.int8)
    graph = coo_array((ones, (rows, columns)), shape=(len(records), len(records)))
    return np.asarray(connected_components(graph, directed=False)[1])


def _stratum(records: list[Record]) -> Stratum:
    """Data set and label that most of the group has; of equals, the first in the alphabet."""
    counts = Counter((record.dataset, record.label) for record in records)
    return min(counts, key=lambda stratum: (-counts[stratum], stratum))


def _deal(groups: int, cfg: SplitConfig) -> list[str]:
    """Split names for `groups` groups in their hashed order."""
    least = 1 if groups >= SMALLEST else 0
    test = max(round(groups * cfg.test), least if cfg.test else 0)
    val = max(round(groups * cfg.val), least if cfg.val else 0)
    val = min(val, max(groups - test - 1, 0))  # something is left to train on
    return [TEST] * test + [VAL] * val + [TRAIN] * (groups - test - val)


def _follow(side: str | None, held: bool) -> str:
    if side is None:
        return TEST
    return side if not held or side == TEST else LEFT_OUT


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()
