"""The suites: each takes the subject of an evaluation and returns what it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mmfm.data.index import VAL
from mmfm.errors import DataError
from mmfm.evaluation.classification import auroc_results, confusion_of, recall_results, score_results
from mmfm.evaluation.features import Features, embed_texts
from mmfm.evaluation.gallery import make_gallery
from mmfm.evaluation.probe import fit_probe
from mmfm.evaluation.results import ALL, Outcome, Slice
from mmfm.evaluation.retrieval import NoteTable, search_both, search_results
from mmfm.evaluation.subject import EMBEDDING, LOGITS, POOLED, Subject, with_label
from mmfm.evaluation.zeroshot import classify_by_prompt, fill_prompts, prompt_embeddings
from mmfm.progress import say
from mmfm.taxonomy import CODES, UNKNOWN_LABEL

UNLABELLED, NO_NOTE = "unknown class", "no note"


@dataclass(frozen=True)
class Suite:
    """A suite: the kind of model that it measures, and how."""

    kind: str
    measure: Callable[[Subject], Outcome]


def zeroshot(subject: Subject) -> Outcome:
    """Zero-shot classification of each slice among the classes that it has samples of."""
    prompts = fill_prompts(subject.config.prompts)
    features = subject.encoded(subject.config.split)
    texts = [prompt for of_class in prompts for prompt in of_class]
    embedded = embed_texts(
        texts, subject.loaded, subject.config.batch, subject.device, "class prompts, batches"
    )
    vectors = prompt_embeddings(embedded.view(len(prompts), -1, embedded.shape[1]))
    candidates: dict[str, list[str]] = {}

    def predict(part: Slice, labelled: Features) -> np.ndarray:
        present = np.unique(labelled.labels)
        candidates[part.name] = [CODES[label] for label in present]
        return classify_by_prompt(labelled.values[EMBEDDING], vectors, present)

    outcome = _classification(subject, features, predict)
    outcome.details = {"prompts": subject.config.prompts, "candidates": candidates}
    return outcome


def retrieval(subject: Subject) -> Outcome:
    """Retrieval between images and notes in each slice, and a gallery of the largest in-domain set."""
    config = subject.config
    everything = subject.encoded(config.split)
    noted = np.array([subject.has_note(record) for record in everything.records])
    if not noted.any():
        raise DataError(
            f"no sample of split {config.split!r} in {config.shards} has a note {config.note!r}: the shards "
            f"were written with {', '.join(subject.manifest.notes) or 'none'}; set note=NAME"
        )
    features = everything.take(noted)
    notes = NoteTable.of([record.notes[config.note].text for record in features.records])
    what = f"{len(notes.texts)} different notes, batches"
    embedded = embed_texts(notes.texts, subject.loaded, config.batch, subject.device, what)
    row_of = {text: row for row, text in enumerate(notes.texts)}
    outcome = Outcome(skipped=_skipped(everything, **{NO_NOTE: int((~noted).sum())}))
    distinct: dict[str, int] = {}
    shown: Slice | None = None
    for part, sliced in subject.slices(features):
        texts = [record.notes[config.note].text for record in sliced.records]
        table = NoteTable.of(texts)
        if len(table.texts) < 2:
            say(f"retrieval: {part.name} has no two different notes, nothing to search")
            continue
        if part.dataset != ALL:
            shown = shown or part
        distinct[part.name] = len(table.texts)
        vectors = embedded[torch.tensor([row_of[text] for text in table.texts])]
        classes = len(np.unique(sliced.labels[sliced.labels != UNKNOWN_LABEL]))
        for search in search_both(sliced, table, vectors, config.seed, subject.device):
            outcome.results += search_results(
                part, search, sliced.groups, classes, config.bootstrap, config.seed
            )
            if part == shown:
                outcome.gallery += make_gallery(part, sliced, texts, search, config.seed)
    outcome.details = {"note": config.note, "distinct_notes": distinct}
    return outcome


def probe(subject: Subject) -> Outcome:
    """Linear probe on the image tower, fitted on `probe_split`, its strength chosen on val."""
    config = subject.config
    fitted = with_label(subject.encoded(config.probe_split))
    pooled = fitted.values[POOLED].numpy()
    fit = fit_probe(pooled, fitted.labels, _selection(subject))

    def predict(part: Slice, labelled: Features) -> np.ndarray:
        return fit.probabilities(labelled.values[POOLED].numpy())

    outcome = _classification(subject, subject.encoded(config.split), predict)
    outcome.details = {
        "fitted_on": {"split": config.probe_split, "n": len(fitted)},
        "penalty": {"C": fit.strength, "balanced_accuracy_on_val": fit.chosen_at},
        "features": {"of": "the image tower, before projection", "width": int(pooled.shape[1])},
    }
    return outcome


def classify(subject: Subject) -> Outcome:
    """The fine-tuned classifier, with the recall of each class."""
    features = subject.classified(subject.config.split)
    unnoted = 0
    if subject.loaded.inputs != "image":
        noted = np.array([subject.has_note(record) for record in features.records])
        unnoted = int((~noted).sum())
        if not noted.any():
            raise DataError(
                f"the classifier reads notes, and no sample of split {subject.config.split!r} has a note "
                f"{subject.config.note!r}: set note=NAME"
            )
        features = features.take(noted)

    def predict(part: Slice, labelled: Features) -> np.ndarray:
        return labelled.values[LOGITS].softmax(dim=1).numpy()

    outcome = _classification(subject, features, predict, recall=True)
    outcome.details = {"inputs": subject.loaded.inputs}
    if unnoted:
        outcome.skipped[NO_NOTE] = unnoted
    return outcome


SUITES: dict[str, Suite] = {
    "zeroshot": Suite("dual", zeroshot),
    "retrieval": Suite("dual", retrieval),
    "probe": Suite("dual", probe),
    "classify": Suite("classifier", classify),
}


def _classification(
    subject: Subject,
    features: Features,
    predict: Callable[[Slice, Features], np.ndarray],
    recall: bool = False,
) -> Outcome:
    """Score `predict` on each slice. It returns classes (n,) or probabilities (n, 8) of the labelled rows."""
    labelled = with_label(features)
    if not len(labelled):
        raise DataError(
            f"no sample of split {features.split.name!r} in {features.split.folder} has a known class"
        )
    outcome = Outcome(skipped=_skipped(features, **{UNLABELLED: len(features) - len(labelled)}))
    for part, sliced in subject.slices(labelled):
        truth = sliced.labels
        if len(np.unique(truth)) < 2:
            say(f"{part.name} has samples of one class only, nothing to tell apart")
            continue
        predicted = predict(part, sliced)
        bootstrap = subject.bootstrap(sliced)
        classes = predicted if predicted.ndim == 1 else predicted.argmax(axis=1)
        outcome.results += score_results(part, truth, classes, bootstrap)
        if predicted.ndim == 2:
            outcome.results += auroc_results(part, truth, predicted, bootstrap)
        if recall:
            outcome.results += recall_results(part, truth, classes, bootstrap)
        outcome.confusions.append(confusion_of(part, truth, classes))
    return outcome


def _selection(subject: Subject) -> tuple[np.ndarray, np.ndarray] | None:
    """Features and labels of the val split, unless it is empty or has another part in this evaluation."""
    info = subject.manifest.splits.get(VAL)
    if not info or not info.samples or VAL in (subject.config.split, subject.config.probe_split):
        return None
    labelled = with_label(subject.encoded(VAL))
    return labelled.values[POOLED].numpy(), labelled.labels


def _skipped(features: Features, **more: int) -> dict[str, int]:
    """Counts of what was left out, by kind."""
    return {**features.skipped, **{kind: count for kind, count in more.items() if count}}
