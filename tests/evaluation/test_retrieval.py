import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from mmfm.evaluation.features import Features
from mmfm.evaluation.results import Slice
from mmfm.evaluation.retrieval import IMAGE_TO_NOTE, NOTE_TO_IMAGE, NoteTable, search_both, search_results
from mmfm.records import Record

PART = Slice("set", "dermoscopic", shift=False)


def slice_of(embeddings, labels):
    records = [Record("set", f"i{n}", "dermoscopic", label=int(label)) for n, label in enumerate(labels)]
    return Features(None, np.arange(len(labels)), records, {"embedding": embeddings})


def results_of(texts, images, notes, labels):
    table = NoteTable.of(texts)
    features = slice_of(images, labels)
    searches = search_both(features, table, notes[torch.from_numpy(table.first)], 0, torch.device("cpu"))
    found = {}
    for search in searches:
        for result in search_results(PART, search, features.groups, 2, 200, 0):
            found[result.direction, result.metric] = result
    return found


def test_aligned_pairs_score_one_and_the_pool_holds_each_note_once():
    images = normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    images[6:] = images[:6]  # the second half repeats the first, notes included
    texts = [f"note {n % 6}" for n in range(12)]
    found = results_of(texts, images, images, np.arange(12) % 6)
    for direction, pool in ((IMAGE_TO_NOTE, 6), (NOTE_TO_IMAGE, 12)):
        first = found[direction, "recall_at_1"]
        assert (first.value, first.low, first.high, first.n, first.pool) == (1, 1, 1, 12, pool)
        assert found[direction, "median_rank"].value == 1
    assert found[IMAGE_TO_NOTE, "recall_at_1"].chance == pytest.approx(1 / 6)
    assert found[NOTE_TO_IMAGE, "recall_at_5"].chance == pytest.approx(5 / 11)  # 10 rivals and itself
    assert (IMAGE_TO_NOTE, "map") not in found  # each class has one note: with its own left out, none
    assert found[NOTE_TO_IMAGE, "map"].value == 1


def test_unrelated_pairs_are_at_chance():
    generator = torch.Generator().manual_seed(1)
    images = normalize(torch.randn(400, 16, generator=generator), dim=-1)
    notes = normalize(torch.randn(400, 16, generator=generator), dim=-1)
    found = results_of([str(n) for n in range(400)], images, notes, np.arange(400) % 4)
    for (_, metric), result in found.items():
        slack = 25 if metric == "median_rank" else 0.03
        assert result.value == pytest.approx(result.chance, abs=slack), metric
        assert result.low <= result.value <= result.high


def test_samples_of_unknown_class_take_part_in_pairs_only():
    images = torch.eye(6)
    found = results_of([str(n) for n in range(6)], images, images, [0, 0, 1, 1, -1, -1])
    assert found[IMAGE_TO_NOTE, "recall_at_1"].n == 6
    assert found[IMAGE_TO_NOTE, "map"].n == 4
