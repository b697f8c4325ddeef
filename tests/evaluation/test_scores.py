import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mmfm.evaluation.scores import (
    auroc_statistic,
    chances,
    confusions,
    recall_statistic,
    score_statistic,
)

CLASSES = 5


@st.composite
def answers(draw):
    """True and predicted classes with integer weights that leave at least one sample in."""
    size = draw(st.integers(2, 30))
    labels = st.lists(st.integers(0, CLASSES - 1), min_size=size, max_size=size)
    weights = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any))
    return np.array(draw(labels)), np.array(draw(labels)), np.array(weights)


@settings(max_examples=60, deadline=None)
@given(answers())
def test_scores_equal_scikit_learn_on_the_resample(given_answers):
    truth, predicted, weights = given_answers
    found = score_statistic(truth, predicted, CLASSES)(weights[None].astype(float))[0]
    truth, predicted = np.repeat(truth, weights), np.repeat(predicted, weights)
    present = np.unique(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predictions of classes that are not in the truth
        expected = [
            sk.balanced_accuracy_score(truth, predicted),
            sk.accuracy_score(truth, predicted),
            sk.f1_score(truth, predicted, labels=present, average="macro", zero_division=0),
            sk.f1_score(truth, predicted, labels=present, average="weighted", zero_division=0),
        ]
    assert found == pytest.approx(np.array(expected))


def test_class_that_was_not_drawn_is_left_out():
    truth, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    weights = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=float)
    balanced = score_statistic(truth, predicted, 4)(weights)[:, 0]
    assert balanced == pytest.approx([(0.5 + 1 + 0) / 3, (0.5 + 1) / 2])
    recall = recall_statistic(truth, predicted, 4)(weights)
    assert np.isnan(recall[1, 2]) and np.isnan(recall[:, 3]).all() and recall[0, 0] == 0.5


def test_confusion_has_truth_in_rows():
    counts = confusions(np.array([0, 0, 2]), np.array([1, 1, 2]), 3, np.ones((1, 3)))[0]
    assert counts.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_auroc_equals_scikit_learn_with_ties_and_weights():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 200)
    values = np.round(generator.random((200, 4)) + 0.3 * np.eye(4)[truth], 1)  # rounded: many ties
    weights = generator.integers(0, 3, (5, 200))
    found = auroc_statistic(truth, values)(weights.astype(float))[:, 0]
    for row, value in zip(weights, found, strict=True):
        expected = [sk.roc_auc_score(truth == k, values[:, k], sample_weight=row) for k in range(3)]
        assert value == pytest.approx(np.mean(expected))


def test_auroc_of_one_class_is_undefined():
    assert np.isnan(auroc_statistic(np.zeros(4, int), np.random.rand(4, 2))(np.ones((1, 4)))).all()


def test_chances_are_what_guessing_scores():
    generator = np.random.default_rng(0)
    truth = generator.choice(4, 200_000, p=[0.5, 0.3, 0.15, 0.05])
    guessed = generator.integers(0, 4, len(truth))
    scored = score_statistic(truth, guessed, 4)(np.ones((1, len(truth))))[0]
    assert chances(truth, 4) == pytest.approx(scored, abs=5e-3)
