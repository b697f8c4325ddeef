"""Contradictions of class, subclass and malignancy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from data_tools.notes.audit.findings import Finding
from data_tools.notes.audit.reader import Mention
from data_tools.notes.audit.terms import Concept
from data_tools.notes.audit.truth import Truth
from mmfm.taxonomy import CLASSES


def check_diagnosis(mentions: Iterable[Mention], truth: Truth) -> Iterator[Finding]:
    """What a note claims of the diagnosis against what is known of it."""
    for mention in mentions:
        if mention.concept.kind == "diagnosis":
            yield from _diagnosis(mention, truth)
        elif mention.concept.kind == "malignancy":
            yield from _malignancy(mention, truth)


def _diagnosis(mention: Mention, truth: Truth) -> Iterator[Finding]:
    if not truth.classes or truth.says(mention):
        return
    if mention.assertion == "negated":
        yield from _denied(mention, truth)
    elif mention.claimed and not any(
        _fits(each, truth) for each in mention.alternatives or (mention.concept,)
    ):
        yield _finding("class", f"says {mention.text}", truth, mention)
    elif mention.claimed and not mention.alternatives and (known := excluded_by(mention.concept, truth)):
        yield Finding("subclass", f"says {mention.text}; known is {known}", mention.start, mention.end)


def _fits(concept: Concept, truth: Truth) -> bool:
    return bool(concept.classes & truth.classes) or concept in truth.names


def excluded_by(concept: Concept, truth: Truth) -> str:
    """The known name of the lesion that excludes `concept`, within its class; "" if none does."""
    if not concept.axis:
        return ""
    known = {name.value for name in truth.names if name.axis == concept.axis}
    return "" if concept.value in known or not known else min(known)


def _denied(mention: Mention, truth: Truth) -> Iterator[Finding]:
    """A note may deny other diagnoses; of a lesion that several classes are named for, none but its own."""
    concept = mention.concept
    if concept not in truth.names:
        return
    kind = "subclass" if concept.axis else "class"
    yield _finding(kind, f"denies {mention.text}", truth, mention)


def _malignancy(mention: Mention, truth: Truth) -> Iterator[Finding]:
    if not truth.malignancies or truth.says(mention):
        return
    said = mention.concept.name
    if mention.assertion == "negated" and truth.malignancies == {said}:
        yield Finding("malignancy", f"denies {mention.text}; known is {said}", mention.start, mention.end)
    names = {each.name for each in mention.alternatives} or {said}
    if mention.claimed and not names & truth.malignancies:
        known = " or ".join(sorted(truth.malignancies))
        yield Finding("malignancy", f"says {mention.text}; known is {known}", mention.start, mention.end)


def _finding(kind: str, what: str, truth: Truth, mention: Mention) -> Finding:
    known = " or ".join(CLASSES[label].name for label in sorted(truth.classes))
    return Finding(kind, f"{what}; known is {known}", mention.start, mention.end)
