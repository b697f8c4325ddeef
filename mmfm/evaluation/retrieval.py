"""Retrieval between images and notes within one slice, in both directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mmfm.evaluation.bootstrap import Bootstrap, Estimate, means, median
from mmfm.evaluation.features import Features
from mmfm.evaluation.ranking import PRECISION_AT, Ranking, Side, chance_average_precision, rank_queries
from mmfm.evaluation.results import IMAGE_TO_NOTE, NOTE_TO_IMAGE, Result, Slice
from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL

RECALL_AT = (1, 5, 10)


@dataclass(frozen=True)
class NoteTable:
    """Distinct notes of n samples: `number` (n,) of each sample's note in `texts`, `first` (t,) with it."""

    texts: list[str]
    number: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, texts: list[str]) -> NoteTable:
        """Number the texts in the order in which they first occur."""
        numbers: dict[str, int] = {}
        number = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
        first = np.unique(number, return_index=True)[1]
        return cls(list(numbers), number, first)


@dataclass(frozen=True)
class Search:
    """One direction: queries are the n samples of the slice; pool item i is shown by sample `shown[i]`."""

    direction: str
    ranking: Ranking
    shown: np.ndarray
    pool: int


def search_both(
    features: Features, notes: NoteTable, embedded: torch.Tensor, seed: int, device: torch.device
) -> list[Search]:
    """Image to distinct notes, and note to images, over the samples of one slice.

    `features.values["embedding"]`: (n, d) unit vectors of the images. `embedded`: (t, d) of the notes.
    """
    number = torch.from_numpy(notes.number)
    classes = class_columns(features.labels)
    of_note = torch.zeros(len(notes.texts), classes.shape[1], dtype=torch.int64)
    of_note = of_note.index_add(0, number, classes.long()) > 0
    images = Side(features.values["embedding"], number, classes)
    asked = Side(embedded[number], number, classes)
    pool = Side(embedded, torch.arange(len(notes.texts)), of_note)
    rows = np.arange(len(features))
    to_note = rank_queries(images, pool, notes.number, seed, device)
    to_image = rank_queries(asked, images, rows, seed, device)
    return [
        Search(IMAGE_TO_NOTE, to_note, notes.first, len(pool)),
        Search(NOTE_TO_IMAGE, to_image, rows, len(images)),
    ]


def class_columns(labels: np.ndarray) -> torch.Tensor:
    """(n, 8) bool: the class of each sample, no class for an unknown label."""
    known = labels != UNKNOWN_LABEL
    return torch.from_numpy((labels[:, None] == np.arange(len(CLASSES))) & known[:, None])


def search_results(
    part: Slice, search: Search, groups: np.ndarray, classes: int, times: int, seed: int
) -> list[Result]:
    """R@1/5/10 and median rank of the own partner, P@5/10 and mAP of the class, with intervals and chance."""
    ranking = search.ranking
    found: list[tuple[str, str, int, int, Estimate, float]] = []
    bootstrap = Bootstrap(groups, times, seed)
    hits = np.stack([ranking.rank <= k for k in RECALL_AT], axis=1).astype(np.float64)
    count = (len(groups), bootstrap.groups)
    for k, estimate in zip(RECALL_AT, bootstrap.estimate(means(hits)), strict=True):
        chance = float(np.minimum(1.0, k / (ranking.rivals + 1)).mean())
        found.append((f"recall_at_{k}", f"R@{k}", *count, estimate, chance))
    (middle,) = bootstrap.estimate(median(ranking.rank))
    found.append(("median_rank", "Median rank", *count, middle, float(np.median(ranking.rivals / 2 + 1))))
    found += _class_results(ranking, groups, search.pool - 1, times, seed)
    return [
        Result.of(
            estimate,
            metric=metric,
            label=label,
            slice=part,
            n=n,
            groups=drawn,
            classes=classes,
            chance=chance,
            direction=search.direction,
            pool=search.pool,
        )
        for metric, label, n, drawn, estimate, chance in found
    ]


def _class_results(
    ranking: Ranking, groups: np.ndarray, items: int, times: int, seed: int
) -> list[tuple[str, str, int, int, Estimate, float]]:
    """Rows of P@K and mAP over the queries that have relevant items among the `items` searched."""
    asked = ranking.relevant > 0
    if not asked.any():
        return []
    bootstrap = Bootstrap(groups[asked], times, seed)
    count = (int(asked.sum()), bootstrap.groups)
    values = np.column_stack([ranking.precision, ranking.average_precision])[asked]
    *precision, average = bootstrap.estimate(means(values))
    relevant = ranking.relevant[asked]
    rows = [
        (f"precision_at_{k}", f"P@{k}, class", *count, estimate, float(_chance(relevant, items, k)))
        for k, estimate in zip(PRECISION_AT, precision, strict=True)
    ]
    by_chance = float(chance_average_precision(relevant, items).mean())
    return [*rows, ("map", "mAP, class", *count, average, by_chance)]


def _chance(relevant: np.ndarray, items: int, k: int) -> float:
    """Precision at k of a random order; a pool smaller than k leaves places empty."""
    return float((relevant / items).mean() * min(1.0, items / k))
