"""A few queries with what they found, right and wrong, for people to look at."""

from __future__ import annotations

import numpy as np

from mmfm.evaluation.features import Features
from mmfm.evaluation.results import Example, Hit, Item, Slice
from mmfm.evaluation.retrieval import Search
from mmfm.evaluation.thumbnail import thumbnail
from mmfm.taxonomy import CODES, UNKNOWN_LABEL

EXAMPLES = 4  # right ones, and as many wrong ones, in each direction
SIDE = 128  # pixels of the longer side


def make_gallery(
    part: Slice, features: Features, texts: list[str], search: Search, seed: int
) -> list[Example]:
    """Queries of known class drawn by `seed`: right where the best hit is of their class, wrong elsewhere.

    `texts`: the note of each sample of `features`. Hits come from the whole pool, the own partner included.
    """
    labels = features.labels
    best = labels[search.shown[search.ranking.top[:, 0]]]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(labels != UNKNOWN_LABEL))
    right = order[best[order] == labels[order]][:EXAMPLES]
    wrong = order[best[order] != labels[order]][:EXAMPLES]
    return [_example(part, features, texts, search, int(row)) for row in (*right, *wrong)]


def _example(part: Slice, features: Features, texts: list[str], search: Search, row: int) -> Example:
    ranking = search.ranking
    label = features.labels[row]
    hits = []
    for place, (item, score) in enumerate(zip(ranking.top[row], ranking.top_scores[row], strict=True)):
        shown = int(search.shown[item])
        hits.append(
            Hit(
                rank=place + 1,
                item=_item(features, texts, shown),
                score=round(float(score), 4),
                relevant=bool(features.labels[shown] == label),
                own=texts[shown] == texts[row],
            )
        )
    return Example(search.direction, part, _item(features, texts, row), hits)


def _item(features: Features, texts: list[str], row: int) -> Item:
    record = features.records[row]
    code = CODES[record.label] if record.label != UNKNOWN_LABEL else ""
    image = thumbnail(features.split.read_image(int(features.samples[row])), SIDE)
    return Item(record.key, code, texts[row], image)
