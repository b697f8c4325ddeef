"""Ranks of a search by cosine: where the own partner of each query ends, and how well its class comes first.

Protocol `clean`: queries and pool are of one slice of one split.

- Own partner (R@K, median rank): rank = 1 + the items with another note that score higher, plus half of
  those that score the same. An item with the same note as the query is an equally right answer and
  no rival; the half keeps a model that scores everything alike from looking perfect.
- Class (P@K, mAP): the own partner is taken out of the pool; an item is relevant if it is of the query's
  class. Queries without any relevant item are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

PRECISION_AT = (5, 10)
TOP = 5  # best hits kept for the gallery
CELLS = 1 << 24  # scores held at once


@dataclass(frozen=True)
class Side:
    """Queries or pool: `embeddings` (n, d) float32 unit vectors, `notes` (n,) int64 numbers, equal for equal
    notes, `classes` (n, c) bool, the classes that an item is of (none: not known)."""

    embeddings: torch.Tensor
    notes: torch.Tensor
    classes: torch.Tensor

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: torch.Tensor | slice) -> Side:
        """The given rows."""
        return Side(self.embeddings[rows], self.notes[rows], self.classes[rows])

    def to(self, device: torch.device) -> Side:
        """The same on a device."""
        return Side(self.embeddings.to(device), self.notes.to(device), self.classes.to(device))


@dataclass(frozen=True)
class Ranking:
    """Outcome for q queries, in their order, on the CPU.

    `rank` (q,) float64 of the own partner among itself and its `rivals` (q,). `average_precision` (q,) and
    `precision` (q, 2) at `PRECISION_AT`, NaN for queries without relevant items; `relevant` (q,) counts
    these. `top` (q, TOP) int64 items and `top_scores`, the own partner included.
    """

    rank: np.ndarray
    rivals: np.ndarray
    average_precision: np.ndarray
    precision: np.ndarray
    relevant: np.ndarray
    top: np.ndarray
    top_scores: np.ndarray


def rank_queries(queries: Side, pool: Side, own: np.ndarray, seed: int, device: torch.device) -> Ranking:
    """Rank `pool` for each query; `own` (q,) is the item in the pool that the query belongs to.

    The pool is shuffled by `seed` first, so that items of equal score come in no order of their own.
    """
    shuffled = np.random.default_rng(seed).permutation(len(pool))
    place = np.argsort(shuffled)  # where each item of the pool went
    queries, pool = queries.to(device), pool.take(torch.from_numpy(shuffled)).to(device)
    partners = torch.from_numpy(place[own]).to(device)
    chunks = list(_chunks(queries, pool, partners))
    columns = [torch.cat(column).cpu().numpy() for column in zip(*chunks, strict=True)]
    rank, rivals, average_precision, precision, relevant, top, top_scores = columns
    return Ranking(rank, rivals, average_precision, precision, relevant, shuffled[top], top_scores)


def own_rank(
    scores: torch.Tensor, own: torch.Tensor, rivals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank of item `own` (b,) in each row of `scores` (b, m) among `rivals` (b, m) bool, and their number."""
    mine = scores.gather(1, own[:, None])
    better = ((scores > mine) & rivals).sum(dim=1)
    tied = ((scores == mine) & rivals).sum(dim=1)
    return 1.0 + better.double() + 0.5 * tied.double(), rivals.sum(dim=1)


def class_precision(
    scores: torch.Tensor, relevant: torch.Tensor, left_out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Average precision (b,), precision at `PRECISION_AT` (b, 2) and relevant items (b,) of each row.

    `scores`, `relevant`, `left_out`: (b, m). Items left out take no place. NaN where nothing is relevant.
    """
    relevant = relevant & ~left_out
    order = scores.masked_fill(left_out, -torch.inf).argsort(dim=1, descending=True, stable=True)
    hits = relevant.gather(1, order).double()
    total = hits.sum(dim=1)
    places = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    average = (hits * hits.cumsum(dim=1) / places).sum(dim=1) / total
    precision = torch.stack([hits[:, :k].sum(dim=1) / k for k in PRECISION_AT], dim=1)
    precision = precision.masked_fill((total == 0)[:, None], torch.nan)
    return average, precision, total


def chance_average_precision(relevant: np.ndarray, items: int) -> np.ndarray:
    """Expected average precision of a random order of `items` with `relevant` (q,) relevant ones."""
    harmonic = (1.0 / np.arange(1, items + 1)).sum()
    share = (relevant - 1) / max(1, items - 1)
    return np.asarray((share * (items - harmonic) + harmonic) / items)


def _chunks(queries: Side, pool: Side, partners: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the columns of `Ranking` for as many queries as fit into `CELLS` scores."""
    rows = max(1, CELLS // len(pool))
    items = torch.arange(len(pool), device=partners.device)
    for start in range(0, len(queries), rows):
        part = queries.take(slice(start, start + rows))
        own = partners[start : start + rows]
        scores = part.embeddings @ pool.embeddings.T
        itself = items[None, :] == own[:, None]
        rank, rivals = own_rank(scores, own, part.notes[:, None] != pool.notes[None, :])
        relevant = (part.classes.float() @ pool.classes.float().T) > 0
        average, precision, total = class_precision(scores, relevant, itself)
        best = scores.topk(min(TOP, len(pool)), dim=1)
        yield rank, rivals, average, precision, total, best.indices, best.values
