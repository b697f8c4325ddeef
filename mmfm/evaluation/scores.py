"""Scores of a classification: from confusion counts, so that all resamples are scored at once.

Every score looks at the classes that have samples: a class absent from a slice, or from a resample of
it, has no recall and takes no part in a mean over classes.
"""

from __future__ import annotations

import numpy as np

from mmfm.evaluation.bootstrap import Statistic

# metric -> label, in the order in which `scores` returns them
SCORES: dict[str, str] = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
}


def confusions(truth: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Weighted confusion counts, (r, classes, classes), rows true and columns predicted.

    `truth` and `predicted`: (n,) integers in [0, classes). `weights`: (r, n).
    """
    cells = np.zeros((len(truth), classes * classes))
    cells[np.arange(len(truth)), truth * classes + predicted] = 1.0
    return np.asarray(weights @ cells).reshape(-1, classes, classes)


def recalls(counts: np.ndarray) -> np.ndarray:
    """Recall of each class, (r, classes), from (r, classes, classes) counts; NaN where it has no samples."""
    support = counts.sum(axis=2)
    return _ratio(np.diagonal(counts, axis1=1, axis2=2), support)


def scores(counts: np.ndarray) -> np.ndarray:
    """The scores of `SCORES`, (r, 4), from (r, classes, classes) counts."""
    support = counts.sum(axis=2)
    right = np.diagonal(counts, axis1=1, axis2=2)
    f1 = np.where(support > 0, _ratio(2 * right, support + counts.sum(axis=1)), np.nan)
    total = support.sum(axis=1)
    columns = (
        _mean(recalls(counts)),
        _ratio(right.sum(axis=1), total),
        _mean(f1),
        _ratio(np.nansum(f1 * support, axis=1), total),
    )
    return np.stack(columns, axis=1)


def chances(truth: np.ndarray, candidates: int) -> np.ndarray:
    """What the scores of `SCORES` would be, (4,), if a class were guessed uniformly among `candidates`.

    In the limit of many samples: recall 1/candidates and precision equal to the share p of the class, so
    that its F1 is 2 p q / (p + q) with q = 1/candidates.
    """
    shares = np.unique(truth, return_counts=True)[1] / len(truth)
    guess = 1.0 / candidates
    f1 = 2 * shares * guess / (shares + guess)
    return np.array([guess, guess, f1.mean(), (shares * f1).sum()])


def score_statistic(truth: np.ndarray, predicted: np.ndarray, classes: int) -> Statistic:
    """Statistic: the scores of `SCORES`."""
    return lambda weights: scores(confusions(truth, predicted, classes, weights))


def recall_statistic(truth: np.ndarray, predicted: np.ndarray, classes: int) -> Statistic:
    """Statistic: the recall of each class."""
    return lambda weights: recalls(confusions(truth, predicted, classes, weights))


def auroc_statistic(truth: np.ndarray, values: np.ndarray) -> Statistic:
    """Statistic (k = 1): area under the ROC curve, each class against the rest, mean over the classes.

    `values`: (n, classes), greater where a class is likelier. Equal values count one half. A class without
    samples, or with all of them, is left out; NaN if none is left.
    """
    present = np.unique(truth)

    def statistic(weights: np.ndarray) -> np.ndarray:
        areas = [_area(truth == label, values[:, label], weights) for label in present]
        return _mean(np.stack(areas, axis=1))[:, None]

    return statistic


def _area(positive: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve of each resample, (r,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # equal values form one step
    above = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    below = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    won = above * (np.cumsum(below, axis=1) - 0.5 * below)
    return _ratio(won.sum(axis=1), above.sum(axis=1) * below.sum(axis=1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Elementwise part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the second axis of what is defined, NaN where nothing is."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
