"""The closed-form ranks against a plain loop over sorted lists."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from mmfm.evaluation.ranking import TOP, Side, chance_average_precision, rank_queries
from mmfm.evaluation.retrieval import NoteTable, class_columns

CPU = torch.device("cpu")


def side(embeddings, notes, labels):
    return Side(
        torch.as_tensor(embeddings, dtype=torch.float32),
        torch.as_tensor(notes),
        class_columns(np.asarray(labels)),
    )


def slow_own_rank(scores, own, rivals):
    better = sum(scores[j] > scores[own] for j in rivals)
    return 1 + better + sum(scores[j] == scores[own] for j in rivals) / 2


def slow_average_precision(ranked_relevance):
    hits, total = 0, 0.0
    for place, relevant in enumerate(ranked_relevance, start=1):
        if relevant:
            hits += 1
            total += hits / place
    return total / hits if hits else math.nan


@st.composite
def searches(draw):
    """Queries and pool of distinct scores, shared notes and unknown labels."""
    size = draw(st.integers(3, 25))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels = generator.integers(-1, 3, size)
    notes = generator.integers(0, draw(st.integers(2, size)), size)
    return generator.normal(size=(size, 6)), generator.normal(size=(size, 6)), notes, labels


@settings(max_examples=50, deadline=None)
@given(searches())
def test_equals_a_plain_loop(search):
    asked, items, notes, labels = search
    size = len(labels)
    found = rank_queries(side(asked, notes, labels), side(items, notes, labels), np.arange(size), 3, CPU)
    scores = (torch.tensor(asked).float() @ torch.tensor(items).float().T).numpy()
    for q in range(size):
        rivals = [j for j in range(size) if notes[j] != notes[q]]
        assert found.rank[q] == slow_own_rank(scores[q], q, rivals)
        assert found.rivals[q] == len(rivals)
        order = [j for j in np.argsort(-scores[q]) if j != q]  # the own partner takes no place
        relevance = [labels[q] >= 0 and labels[j] == labels[q] for j in order]
        expected = slow_average_precision(relevance)
        assert found.average_precision[q] == pytest.approx(expected, nan_ok=True)
        if any(relevance):
            assert found.precision[q] == pytest.approx([sum(relevance[:5]) / 5, sum(relevance[:10]) / 10])
        else:
            assert np.isnan(found.precision[q]).all() and found.relevant[q] == 0
        assert found.top[q].tolist() == np.argsort(-scores[q])[:TOP].tolist()


def test_chunks_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    queries = side(generator.normal(size=(30, 4)), np.arange(30), generator.integers(0, 3, 30))
    whole = rank_queries(queries, queries, np.arange(30), 0, CPU)
    monkeypatch.setattr("mmfm.evaluation.ranking.CELLS", 100)
    parts = rank_queries(queries, queries, np.arange(30), 0, CPU)
    assert (parts.rank == whole.rank).all() and (parts.top == whole.top).all()
    assert parts.average_precision == pytest.approx(whole.average_precision)


def test_the_own_partner_does_not_count_for_its_class():
    """Every query finds itself first: with itself in the pool, precision would start at 1."""
    embeddings = np.eye(4)
    labels = [0, 1, 0, 1]
    everyone = side(embeddings, np.arange(4), labels)
    found = rank_queries(everyone, everyone, np.arange(4), 0, CPU)
    assert (found.rank == 1).all()
    assert (found.relevant == 1).all()  # one other of the class, not two
    assert (found.precision[:, 0] == 1 / 5).all()


def test_a_model_that_scores_all_alike_is_at_chance():
    """Strictly-better alone would give it rank 1 everywhere."""
    labels = np.repeat([0, 1], 200)  # sorted by class, so that pool order would help ties
    same = side(np.ones((400, 3)), np.arange(400), labels)
    found = rank_queries(same, same, np.arange(400), 0, CPU)
    assert (found.rank == 200.5).all()
    chance = chance_average_precision(found.relevant, 399)
    assert found.average_precision.mean() == pytest.approx(chance.mean(), abs=0.03)


def test_a_copy_of_the_note_is_no_rival():
    scores_best = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), dim=-1)
    queries = side(scores_best[[1, 1, 2]], [7, 7, 8], [0, 0, 1])  # 0 and 1 carry the same note
    pool = side(scores_best, [7, 7, 8], [0, 0, 1])
    assert rank_queries(queries, pool, np.arange(3), 0, CPU).rank.tolist() == [1, 1, 1]


def test_chance_of_average_precision_is_that_of_random_orders():
    generator = np.random.default_rng(0)
    relevance = np.arange(20) < 6
    drawn = [slow_average_precision(generator.permutation(relevance)) for _ in range(4000)]
    assert chance_average_precision(np.array([6.0]), 20)[0] == pytest.approx(np.mean(drawn), abs=0.01)


def test_notes_are_numbered_by_their_text():
    table = NoteTable.of(["a", "b", "a", "c", "b"])
    assert table.texts == ["a", "b", "c"]
    assert table.number.tolist() == [0, 1, 0, 2, 1]
    assert table.first.tolist() == [0, 1, 3]
