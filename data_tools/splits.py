"""Splits: train, val and test without a lesion, a patient or a near-duplicate on two sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data_tools.config import SplitConfig
from mmfm.data.index import TEST, TRAIN, VAL
from mmfm.errors import ConfigError
from mmfm.records import Record

LEFT_OUT = ""
SMALLEST = 3  # a stratum of so many groups has one in each split that has a share
Stratum = tuple[str, int]  # dataset, label


def assign_splits(
    records: Sequence[Record],
    heldout: Sequence[bool],
    cfg: SplitConfig,
    duplicates: Iterable[tuple[int, int, int]] = (),
) -> list[str]:
    """The split of every record: "train", "val", "test", or "" for one that is left out.

    Records are joined into groups by lesion id, patient id (each compared over all data sets) and
    near-duplicate pairs; a group stays on one side. Within each data set and label the groups are ordered by
    a hash of the seed and their smallest key, so the result does not depend on the order of `records`.

    `heldout` marks records that are never trained on. A group of only such records goes to test; in a group
    with trained-on records they follow it to test, and are left out if it is not there.
    Raises `ConfigError` when the shares leave nothing to train on.
    """
    if cfg.val < 0 or cfg.test < 0 or cfg.val + cfg.test >= 1:
        raise ConfigError(f"split: val={cfg.val} and test={cfg.test} must be >= 0 and sum to less than 1")
    group_of = group_records(records, duplicates)
    members: dict[int, list[int]] = {}
    for place, group in enumerate(group_of):
        members.setdefault(int(group), []).append(place)
    strata: dict[Stratum, list[tuple[bytes, int]]] = {}
    for group, places in members.items():
        trained = [records[place] for place in places if not heldout[place]]
        if trained:
            order = _hash(cfg.seed, min(record.key for record in trained))
            strata.setdefault(_stratum(trained), []).append((order, group))
    side: dict[int, str] = {}
    for groups in strata.values():
        names = _deal(len(groups), cfg)
        side.update((group, name) for (_, group), name in zip(sorted(groups), names, strict=True))
    return [_follow(side.get(int(group)), held) for group, held in zip(group_of, heldout, strict=True)]


def group_records(records: Sequence[Record], duplicates: Iterable[tuple[int, int, int]] = ()) -> np.ndarray:
    """Group number of every record (n,): connected components over lesion, patient and duplicate pairs."""
    edges = [(i, j) for i, j, _ in duplicates]
    for name in ("lesion_id", "patient_id"):
        first: dict[str, int] = {}
        for place, record in enumerate(records):
            value = getattr(record, name)
            if value:
                edges.append((first.setdefault(value, place), place))
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
