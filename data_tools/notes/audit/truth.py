"""What is known of a lesion, in the audit's concepts: what a note about it may say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data_tools.notes.audit.reader import AFFIRMED, Mention, read_fact
from data_tools.notes.audit.sites import SITES, site_named
from data_tools.notes.audit.terms import Concept, class_concept
from data_tools.notes.facts import NAMES, given
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL

CONTROL = "R"  # its notes carry the facts of another lesion
# What PAD-UFES-20 records of the patient beside the fields of records, and the history that it supports.
EXTRAS = {
    "itch": "itch",
    "grew": "growth",
    "hurt": "pain",
    "changed": "change",
    "bleed": "bleeding",
    "smoke": "smoking",
    "skin_cancer_history": "personal",
    "cancer_history": "personal",
    "pesticide": "exposure",
}


@dataclass(frozen=True)
class Truth:
    """What is known. An empty field: nothing is known of it."""

    facts: dict[str, str]  # the given values, by `facts.NAMES`
    drawn: tuple[str, ...]  # further facts that the writer was told, such as those from the knowledge graph
    classes: frozenset[int]
    names: frozenset[Concept]  # diagnoses as the record names them
    malignancies: frozenset[str]
    said: frozenset[tuple[str, str, str]]  # (kind, name, assertion) of all that the facts mention
    mentions: tuple[Mention, ...] = field(default=(), repr=False)  # of the facts

    @classmethod
    def of(cls, record: Record, note: Note) -> Truth:
        """The truth for `note`. What the record says goes before what the writer was told at the time."""
        facts = given(record)
        drawn = drawn_facts(note)
        named = [
            mention
            for name in ("native_class", "subclass", "matched_subclass")
            for mention in read_fact(facts.get(name, ""))
            if mention.concept.kind == "diagnosis" and mention.assertion != "negated"
        ]
        own = frozenset() if record.label == UNKNOWN_LABEL else frozenset({record.label})
        mentions = [mention for value in facts.values() for mention in read_fact(value)]
        told = [mention for value in drawn for mention in read_fact(value)]
        return cls(
            facts=facts,
            drawn=drawn,
            classes=own.union(
                *(each.concept.classes for each in named if len(each.concept.classes) == 1 or not own)
            ),
            names=frozenset({mention.concept for mention in named} | {class_concept(label) for label in own}),
            malignancies=frozenset(_malignancies(record, facts)),
            said=frozenset({*map(_said, mentions), *map(_said_of_many, told), *_extras(record)}),
            mentions=(*mentions, *told),
        )

    def says(self, mention: Mention) -> bool:
        """Whether the given facts say the same of the same thing."""
        return _said(mention) in self.said or _said_of_many(mention) in self.said

    def sites(self) -> list[str]:
        """Names of the given sites."""
        site = site_named(self.facts.get("site", ""))
        mentioned = [each.concept.name for each in self.mentions if each.concept.kind == "site"]
        return [name for name in ([site.name] if site else []) + mentioned if name in SITES]


def drawn_facts(note: Note) -> tuple[str, ...]:
    """What the writer of a note was told beyond the given facts, as texts: those from the knowledge graph."""
    return () if note.strategy.partition("-")[0] == CONTROL else tuple(_drawn(note.provenance))


def _said(mention: Mention) -> tuple[str, str, str]:
    return mention.concept.kind, mention.concept.name, mention.assertion


def _said_of_many(mention: Mention) -> tuple[str, str, str]:
    """As `_said`, but a diagnosis in its very words: "earlier actinic keratoses" makes no lesion one."""
    name = mention.text.lower() if mention.concept.kind == "diagnosis" else mention.concept.name
    return mention.concept.kind, name, mention.assertion


def _malignancies(record: Record, facts: dict[str, str]) -> Iterator[str]:
    """That of the record, else the usual one of the class; and those in the names of the lesion."""
    if "malignancy" in facts:
        yield facts["malignancy"]
    elif record.label != UNKNOWN_LABEL:
        yield CLASSES[record.label].malignancy
    for name in ("native_class", "subclass", "matched_subclass", "malignancy", "description"):
        for mention in read_fact(facts.get(name, "")):
            if mention.concept.kind == "malignancy" and mention.claimed:
                yield mention.concept.name


def _drawn(provenance: dict[str, Any]) -> Iterator[str]:
    """The facts of a note's provenance beyond the given ones, as texts."""
    facts = provenance.get("facts")
    for name, value in facts.items() if isinstance(facts, dict) else ():
        if name not in NAMES:
            yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{value:g}"


def _extras(record: Record) -> Iterator[tuple[str, str, str]]:
    for name, kind in EXTRAS.items():
        if str(record.extras.get(name, "")).lower() == "true":
            yield "history", kind, AFFIRMED
