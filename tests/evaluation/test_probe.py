import numpy as np
import pytest

from mmfm.errors import DataError
from mmfm.evaluation.probe import STRENGTHS, fit_probe


def points(count, seed):
    """Two wide features of which the label is the sign of the first; labels 1 and 6, one ten times rarer."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, 6)) * [1, 100, 1, 1, 1, 1]
    labels = np.where(features[:, 0] > 1.3, 6, 1)
    return features, labels


def test_rare_class_and_scale_do_not_matter_and_columns_follow_the_taxonomy():
    probe = fit_probe(*points(2000, 0), points(500, 1))
    features, labels = points(1000, 2)
    values = probe.probabilities(features)
    assert values.shape == (1000, 8)
    assert (values[:, [0, 2, 3, 4, 5, 7]] == 0).all() and values.sum(axis=1) == pytest.approx(1)
    predicted = values.argmax(axis=1)
    assert (predicted[labels == 6] == 6).mean() > 0.9 and (predicted[labels == 1] == 1).mean() > 0.8


def test_strength_is_the_best_on_the_selection():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(60, 40)), np.arange(60) % 2
    features[:, 0] += labels  # one feature tells, 39 tempt
    chosen = (generator.normal(size=(400, 40)), np.arange(400) % 2)
    chosen[0][:, 0] += chosen[1]
    probe = fit_probe(features, labels, chosen)
    reached = []
    for strength in STRENGTHS:
        import mmfm.evaluation.probe as module

        predicted = module._fit(features, labels, strength).predict(chosen[0])
        reached.append(np.mean([(predicted[chosen[1] == k] == k).mean() for k in (0, 1)]))
    assert probe.strength == STRENGTHS[int(np.argmax(reached))]
    assert probe.chosen_at == pytest.approx(max(reached))


def test_one_class_cannot_be_fitted():
    with pytest.raises(DataError, match="two known classes"):
        fit_probe(np.zeros((4, 2)), np.zeros(4, int), None)
