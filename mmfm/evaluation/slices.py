"""Slices of a split: each dataset and imaging domain by itself, and all in-domain ones together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmfm.data.index import TRAIN
from mmfm.data.manifest import Manifest
from mmfm.evaluation.results import ALL, Slice
from mmfm.records import Record


def find_slices(records: Sequence[Record], manifest: Manifest) -> Iterator[tuple[Slice, np.ndarray]]:
    """Yield each slice with the rows of its records, ascending: in-domain first, the larger first.

    In-domain is what the train split of the manifest has samples of. Before all others comes the joint slice
    of what is in-domain, if that is several.
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault((record.dataset, record.domain), []).append(row)
    trained = trained_on(manifest)
    inside = [row for name, members in rows.items() if name in trained for row in members]
    if sum(name in trained for name in rows) > 1:
        yield Slice(ALL, ALL, shift=False), np.sort(np.array(inside))
    for name in sorted(rows, key=lambda name: (name not in trained, -len(rows[name]), name)):
        yield Slice(*name, shift=name not in trained), np.array(rows[name])


def trained_on(manifest: Manifest) -> set[tuple[str, str]]:
    """Datasets and domains with samples in the train split."""
    info = manifest.splits.get(TRAIN)
    if info is None:
        return set()
    return {
        (dataset, domain)
        for dataset, domains in info.by_dataset.items()
        for domain, counts in domains.items()
        if counts.samples
    }
