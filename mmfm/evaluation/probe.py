"""The linear probe: a logistic regression on frozen image features, as a measure of what they hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mmfm.errors import DataError
from mmfm.taxonomy import CLASSES

STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse strengths of the penalty to choose from
DEFAULT_STRENGTH = 0.01  # where there is nothing to choose by
ITERATIONS = 300  # more changes predictions little; a warning about it helps nobody


@dataclass(frozen=True)
class Probe:
    """A fitted probe, the strength chosen and the balanced accuracy that it was chosen by (or None)."""

    pipeline: Pipeline
    strength: float
    chosen_at: float | None

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, 8) over `taxonomy.CLASSES`; 0 for classes that it was not fitted on."""
        values = np.zeros((len(features), len(CLASSES)))
        values[:, self.pipeline.classes_] = self.pipeline.predict_proba(features)
        return values


def fit_probe(
    features: np.ndarray, labels: np.ndarray, selection: tuple[np.ndarray, np.ndarray] | None
) -> Probe:
    """Fit on (n, d) features and (n,) known labels; classes weigh the same, features are standardised.

    The strength is that of the best balanced accuracy on `selection` (features, known labels), if given.
    Raises `DataError` when there are fewer than two classes to fit.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("the linear probe needs samples of at least two known classes to be fitted on")
    if selection is None or not len(selection[1]):
        return Probe(_fit(features, labels, DEFAULT_STRENGTH), DEFAULT_STRENGTH, None)
    best: Probe | None = None
    for strength in STRENGTHS:
        pipeline = _fit(features, labels, strength)
        reached = _balanced(selection[1], pipeline.predict(selection[0]))
        if best is None or best.chosen_at is None or reached > best.chosen_at:
            best = Probe(pipeline, strength, reached)
    assert best is not None
    return best


def _fit(features: np.ndarray, labels: np.ndarray, strength: float) -> Pipeline:
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=ITERATIONS)
    pipeline = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(features, labels)


def _balanced(truth: np.ndarray, predicted: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes predicted that are not in the selection
        return float(balanced_accuracy_score(truth, predicted))
