"""From true and predicted classes of a slice to results with intervals: shared by suites that classify."""

from __future__ import annotations

import numpy as np

from mmfm.evaluation.bootstrap import Bootstrap
from mmfm.evaluation.results import Confusion, Result, Slice
from mmfm.evaluation.scores import (
    SCORES,
    auroc_statistic,
    chances,
    confusions,
    recall_statistic,
    score_statistic,
)
from mmfm.taxonomy import CLASSES, CODES

CHANCE_AUROC = 0.5


def score_results(
    part: Slice, truth: np.ndarray, predicted: np.ndarray, bootstrap: Bootstrap
) -> list[Result]:
    """Balanced accuracy, accuracy, macro and weighted F1 over the classes present, with intervals.

    `truth` and `predicted`: (n,) positions in the taxonomy, all of them known.
    """
    present = len(np.unique(truth))
    estimates = bootstrap.estimate(score_statistic(truth, predicted, len(CLASSES)))
    return [
        Result.of(
            estimate,
            metric=metric,
            label=label,
            slice=part,
            n=len(truth),
            groups=bootstrap.groups,
            classes=present,
            chance=float(chance),
        )
        for (metric, label), estimate, chance in zip(
            SCORES.items(), estimates, chances(truth, present), strict=True
        )
    ]


def auroc_results(
    part: Slice, truth: np.ndarray, probabilities: np.ndarray, bootstrap: Bootstrap
) -> list[Result]:
    """Area under the ROC curve, one class against the rest, mean over the classes present.

    `probabilities`: (n, 8). Empty where it is undefined: the slice has one class only.
    """
    (estimate,) = bootstrap.estimate(auroc_statistic(truth, probabilities))
    if not estimate.defined:
        return []
    return [
        Result.of(
            estimate,
            metric="auroc",
            label="AUROC, one against rest",
            slice=part,
            n=len(truth),
            groups=bootstrap.groups,
            classes=len(np.unique(truth)),
            chance=CHANCE_AUROC,
        )
    ]


def recall_results(
    part: Slice, truth: np.ndarray, predicted: np.ndarray, bootstrap: Bootstrap
) -> list[Result]:
    """Recall of each class present; n counts the samples of that class."""
    present = np.unique(truth)
    estimates = bootstrap.estimate(recall_statistic(truth, predicted, len(CLASSES)))
    return [
        Result.of(
            estimates[label],
            metric=f"recall_{CODES[label]}",
            label=f"Recall, {CLASSES[label].name}",
            slice=part,
            n=int((truth == label).sum()),
            groups=bootstrap.groups,
            classes=len(present),
            chance=1.0 / len(present),
        )
        for label in present
        if estimates[label].defined
    ]


def confusion_of(part: Slice, truth: np.ndarray, predicted: np.ndarray) -> Confusion:
    """Confusion counts over the classes that are true or predicted somewhere in the slice."""
    counts = confusions(truth, predicted, len(CLASSES), np.ones((1, len(truth))))[0].astype(int)
    used = np.union1d(truth, predicted)
    return Confusion(part, [CODES[label] for label in used], counts[np.ix_(used, used)].tolist())
