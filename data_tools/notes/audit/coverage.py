"""Recall of the given facts and precision of what is said: the follow-the-prior check of MedSyn, by rules.

Kumichev et al., ECML-PKDD 2024 (doi 10.1007/978-3-031-70381-2_14), score notes by the share of the given
symptoms that they tell and the share of what they tell that was given, there with BERTScore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data_tools.notes.audit.diagnosis import excluded_by
from data_tools.notes.audit.form import words_of
from data_tools.notes.audit.patient import is_claim, is_supported
from data_tools.notes.audit.reader import Mention, read_fact
from data_tools.notes.audit.terms import Concept, normalise
from data_tools.notes.audit.truth import Truth
from data_tools.notes.facts import NAMES, given
from data_tools.notes.graph import compatible
from mmfm.records import Note, Record

STEM = 6  # letters by which words are compared: "ulcerated" tells "ulceration"
TOLD_SHARE = 0.6  # of the words of a free text
PHRASES = frozenset({"class", "native_class", "subclass", "matched_subclass", "malignancy"})
EMPTY = re.compile(r"an?|and|are|as|at|by|for|from|in|is|its?|of|on|or|that|the|this|to|was|with")


def recall(record: Record, note: Note, mentions: Sequence[Mention], truth: Truth) -> tuple[int, int]:
    """(told, given): facts that the writer was given, and how many of them the note tells.

    Where the provenance does not say what was given, it is what is known of the record.
    """
    facts = note.provenance.get("facts")
    items = list(_items(facts if isinstance(facts, dict) else given(record)))
    stems = _stems(note.text)
    return sum(_is_told(name, value, mentions, stems, truth) for name, value in items), len(items)


def precision(mentions: Iterable[Mention], truth: Truth) -> tuple[int, int]:
    """(supported, statements) of a note: diagnoses, malignancy, and what is said of the patient."""
    checks = [check for mention in mentions for check in _statement(mention, truth)]
    return sum(checks), len(checks)


def agreement(record: Record, mentions: Iterable[Mention]) -> tuple[int, int]:
    """(known, told): findings that a note tells, and how many the knowledge graph has for the class.

    A finding that the graph has for other classes alone is no lie, since pictures show all kinds of things;
    but a writer who tells many of them describes another disease.
    """
    told = [
        compatible(record.class_name, _name(mention))
        for mention in mentions
        if mention.concept.kind in ("finding", "outside") and mention.claimed
    ]
    judged = [answer for answer in told if answer is not None]
    return sum(judged), len(judged)


def _name(mention: Mention) -> str:
    """The finding as the graph may know it."""
    return mention.concept.name if mention.concept.kind == "finding" else mention.text


def _items(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, str | int | float) and str(one):
                yield name, f"{one:g}" if isinstance(one, float) else str(one)


def _is_told(name: str, value: str, mentions: Sequence[Mention], stems: set[str], truth: Truth) -> bool:
    kind = name if name in NAMES else ""
    if kind in ("age", "sex", "site", "skin_tone", "confirmation"):
        claims = [each for each in mentions if each.concept.kind == kind and is_claim(each)]
        return any(is_supported(each, truth) for each in claims) or (not claims and _words_told(value, stems))
    if kind in PHRASES:
        wanted = [each.concept for each in read_fact(value)]
        if wanted:
            return all(any(_tells(each, concept) for each in mentions) for concept in wanted)
    return _words_told(value, stems)


def _tells(mention: Mention, concept: Concept) -> bool:
    if mention.assertion == "negated" and concept.kind == "malignancy":  # "non-malignant", "not benign"
        return {mention.concept.name, concept.name} == {"benign", "malignant"}
    if not mention.claimed or mention.concept.kind != concept.kind or mention.alternatives:
        return False
    if concept.classes and not concept.axis:
        return bool(mention.concept.classes) and mention.concept.classes <= concept.classes
    return mention.concept.name == concept.name


def _words_told(value: str, stems: set[str]) -> bool:
    wanted = _stems(value)
    return bool(wanted) and len(wanted & stems) >= TOLD_SHARE * len(wanted)


def _stems(text: str) -> set[str]:
    return {word[:STEM].rstrip("s") for word in words_of(normalise(text)) if not EMPTY.fullmatch(word)}


def _statement(mention: Mention, truth: Truth) -> Iterator[bool]:
    """Whether a statement is supported; nothing for what is no statement, or cannot be checked."""
    concept = mention.concept
    if concept.kind == "diagnosis" and mention.claimed:
        options = mention.alternatives or (concept,)
        fits = any(each.classes & truth.classes or each in truth.names for each in options)
        own_name = not concept.axis or concept in truth.names  # a subclass that is not known is invented
        yield truth.says(mention) or (fits and own_name and not excluded_by(concept, truth))
    elif concept.kind == "diagnosis" and mention.assertion == "negated":
        yield truth.says(mention) or concept not in truth.names
    elif concept.kind == "malignancy" and (mention.claimed or mention.assertion == "negated"):
        known = concept.name in truth.malignancies
        yield truth.says(mention) or (known if mention.claimed else not known)
    elif is_claim(mention):
        yield is_supported(mention, truth)
