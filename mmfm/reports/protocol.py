"""How each number is defined, in words: shown at the end of every report for what it contains."""

from __future__ import annotations

from mmfm.reports.runs import Run

SUITES = {
    "zeroshot": (
        "Each class is described by a few sentences; their text embeddings are averaged into one vector "
        "per class. An image is given the class whose vector has the greatest cosine similarity to the "
        "image's embedding; candidates are the classes that occur in the slice. The notes used in "
        "pretraining name the class in words, so this measures alignment by prompts, not recognition of "
        "classes never met."
    ),
    "retrieval": (
        "Test images and test notes of one slice are embedded; each query ranks all items of the other "
        "kind by cosine similarity. R@K and median rank look for the query's own partner: items with the "
        "very same note are equally right and no rivals, and equal scores count half a place each. P@K and "
        "mAP look for items of the query's class, with the own partner taken out of the pool."
    ),
    "probe": (
        "A logistic regression on the output of the frozen image tower, before its projection into the "
        "shared space, fitted on the training split and measured on the test split: how much of the class "
        "a linear read-out finds in the features."
    ),
    "classify": (
        "The fine-tuned classifier gives the class with the greatest score. Where a note is among its "
        "inputs, the note may name the diagnosis: compare such runs only with each other."
    ),
}

METRICS = {
    "balanced_accuracy": "Mean of the recalls of the classes that occur in the slice: all weigh the same.",
    "accuracy": "Share of samples whose class is right.",
    "macro_f1": "Mean over classes of the harmonic mean of precision and recall.",
    "weighted_f1": "As macro F1, each class weighted by its number of samples.",
    "auroc": "Area under the ROC curve, each class against the rest, mean over classes.",
    "recall_": "Recall of one class: the share of its samples that are recognised.",
    "recall_at": "R@K: share of queries whose own partner is among the first K hits.",
    "median_rank": "Median over queries of the rank of the own partner; 1 is best.",
    "precision_at": "P@K: share of the first K hits that have the query's class, mean over queries.",
    "map": "Precision at each hit of the query's class, averaged over these hits, then over queries.",
}
ONE_NAME = {"recall_": "Recall by class"}  # kinds with one label per class go by one name

GENERAL = (
    "Intervals are 95% percentile bootstrap intervals over the test samples, drawn in whole groups (one "
    "patient or lesion together) where groups are known. They cover the choice of test samples, not the "
    "variation between training runs.",
    "Test samples share no lesion or patient with training samples, and near-duplicates are kept on one "
    "side of the split. A set or domain without any training sample is marked as domain shift.",
    "Chance is what uniform guessing would reach on the same slice. Slices may have different numbers of "
    "classes: compare across slices with chance and the number of classes in view.",
    "The interval of a change under domain shift joins the two intervals as for independent samples "
    "(square-and-add). Where two slices show the same lesions, it is an approximation.",
    "Results are for research. They say nothing about use in care: the images come from few sources, "
    "skin tones are unevenly represented, and the notes are synthetic.",
)
DRAWN = (
    "The demo sets are drawn by a program, and their notes tell what was drawn. Results on them show that "
    "learning works from end to end; they say nothing about skin."
)


def general_notes(runs: list[Run]) -> list[str]:
    """What holds for all numbers of a report."""
    datasets = {
        result.slice.dataset for run in runs for suite in run.suites for result in suite.outcome.results
    }
    return [*GENERAL, *([DRAWN] if any(name.startswith("demo") for name in datasets) else [])]


def suite_notes(runs: list[Run]) -> list[tuple[str, str]]:
    """Title and definition of every suite that has results."""
    titles = {suite.name: suite.title for run in runs for suite in run.suites}
    return [(titles[name], text) for name, text in SUITES.items() if name in titles]


def metric_notes(runs: list[Run]) -> list[tuple[str, str]]:
    """Label and definition of every kind of metric that has results."""
    labels: dict[str, list[str]] = {}
    for result in (r for run in runs for suite in run.suites for r in suite.outcome.results):
        kind = metric_kind(result.metric)
        label = ONE_NAME.get(kind, result.label)
        if kind and label not in labels.setdefault(kind, []):
            labels[kind].append(label)
    return [(", ".join(labels[kind]), text) for kind, text in METRICS.items() if kind in labels]


def metric_kind(metric: str) -> str:
    """The longest key of `METRICS` that a metric's name starts with, or ""."""
    return max((kind for kind in METRICS if metric.startswith(kind)), key=len, default="")
