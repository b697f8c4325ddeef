"""Reads a note: which terms it mentions, and what it claims of each.

Terms are matched by spaCy; ConText, as medspaCy has it, finds negation, uncertainty, history and family by
the rules of `context.yaml`. What is added here: alternatives ("melanoma or nevus"), headings ("Malignancy:"),
and how far a cue reaches (`reach.py`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from data_tools.notes.audit.quantities import quantities
from data_tools.notes.audit.reach import BETWEEN, doubted_first, reaches
from data_tools.notes.audit.sites import site_named
from data_tools.notes.audit.terms import Concept, Term, normalise, terms
from data_tools.notes.audit.tokens import LINE, OFFSETS, NoteTokenizer

RULES = Path(__file__).with_name("context.yaml")
GROUP = "mentions"
AFFIRMED = "affirmed"
# Of several categories the first decides; NEGATED and UNCERTAIN go by their places.
ORDER = ("UNKNOWN", "FAMILY", "HISTORICAL", "OTHERS", "HYPOTHETICAL")
# What stands before a site, and words that mean one only there.
DETERMINERS = re.compile(
    r"the|his|her|their|an?|left|right|upper|lower|mid|central|of|on|patient|s|:|\(|,|and|or|at|over|from"
)
CAREFUL = re.compile(
    r"back|sole|face|head|hand|hip|temple|crown|calf|gum|vertex|brow|shin|breast|foot|flanks?|arm|leg|"
    r"chin|trunk|neck|lip"
)
NEGATIVE = frozenset({"no", "not", "none", "absent", "negative", "unlikely", "excluded"})
POSITIVE = frozenset({"yes", "present", "positive", "confirmed", "likely"})


@dataclass(frozen=True)
class Mention:
    """A term in a note. `start` and `end`: characters of its text."""

    concept: Concept
    text: str
    start: int
    end: int
    assertion: str = AFFIRMED  # or a category of `context.yaml` in lower case, "heading", "listed"
    alternatives: tuple[Concept, ...] = ()  # all of "melanoma or nevus"
    side: str = ""  # site: "left", "right"

    @property
    def claimed(self) -> bool:
        """Whether the note says that it is so."""
        return self.assertion == AFFIRMED


class Reader:
    """The pipeline. Building it takes seconds: use `reader`."""

    def __init__(self) -> None:
        import spacy
        from spacy.matcher import PhraseMatcher

        with warnings.catch_warnings():  # medspaCy switches off all warnings, for everybody
            from medspacy.context import ConText

        self._nlp = spacy.blank("en")
        self._nlp.tokenizer = NoteTokenizer(self._nlp.vocab)
        self._concepts: dict[str, Concept] = {}
        self._words = PhraseMatcher(self._nlp.vocab, attr="LOWER")
        self._exact = PhraseMatcher(self._nlp.vocab, attr="ORTH")
        self._add(terms())
        self._context = ConText(
            self._nlp, rules=None, input_span_type="group", span_group_name=GROUP, span_attrs=None
        )
        self._context.add(list(_rules()))

    def read(self, text: str) -> list[Mention]:
        """The mentions in `text`, in its order."""
        doc = self._nlp.tokenizer(text)
        found = self._find(doc, normalise(LINE.sub(" ", text)))
        if not found:
            return []
        doc.spans[GROUP] = [span for span, _ in found]
        self._context(doc)
        mentions = [_mention(doc, span, concept, found) for span, concept in found]
        return _alternatives(doc, [span for span, _ in found], mentions)

    def _add(self, entries: Sequence[Term]) -> None:
        for number, term in enumerate(entries):
            key = f"{term.concept.kind}:{number}"
            self._concepts[key] = term.concept
            matcher = self._exact if term.exact else self._words
            matcher.add(key, [self._nlp.tokenizer(term.phrase)])

    def _find(self, doc: Any, text: str) -> list[tuple[Any, Concept]]:
        """Spans with their concepts; of those that overlap the longest."""
        from spacy.tokens import Span
        from spacy.util import filter_spans

        concepts: dict[tuple[int, int], Concept] = {}
        for key, first, last in (*self._words(doc), *self._exact(doc)):
            concept = self._concepts[self._nlp.vocab.strings[key]]
            if _is_meant(doc, first, last, concept):
                concepts.setdefault((first, last), concept)
        for first, last, concept in _in_tokens(doc, quantities(text)):
            concepts[first, last] = concept
        spans = [Span(doc, *place, label=concept.kind) for place, concept in concepts.items()]
        longest = [(span, concepts[span.start, span.end]) for span in filter_spans(spans)]
        return [(span, concept) for span, concept in longest if concept.kind != "ignored"]


@lru_cache(maxsize=1)
def reader() -> Reader:
    """The reader of this process."""
    return Reader()


@lru_cache(maxsize=20_000)
def read_fact(text: str) -> tuple[Mention, ...]:
    """The mentions in a given value. Values come again and again: they are remembered."""
    return tuple(reader().read(text))


def _rules() -> Iterator[Any]:
    from medspacy.context import ConTextRule

    seen: set[tuple[str, str, str]] = set()
    for entry in yaml.safe_load(RULES.read_text()):
        kinds = {kind.upper() for kind in entry["kinds"]} if "kinds" in entry else None
        for cue in entry["cues"]:
            literal = " ".join(normalise(cue).split())
            key = (literal, entry["category"], entry["direction"])
            if key not in seen or kinds:
                seen.add(key)
                yield ConTextRule(
                    literal,
                    entry["category"],
                    # spaCy warns of a matcher without any pattern, at every note: one rule is a pattern.
                    pattern=[{"LOWER": literal}] if literal == "non" else None,
                    direction=entry["direction"].upper(),
                    max_scope=entry.get("within"),
                    allowed_types=kinds,
                )


def _is_meant(doc: Any, first: int, last: int, concept: Concept) -> bool:
    """Whether a word that means a site among other things does so here."""
    if concept.kind != "site" or last - first > 1 or not CAREFUL.fullmatch(doc[first].lower_):
        return True
    before = doc[first - 1].lower_ if first else ":"
    after = doc[last].lower_ if last < len(doc) else "."
    if not DETERMINERS.fullmatch(before) or (after == "of" and _names_site(doc, last + 1)):
        return False  # "second hand", "the back of the hand"
    return doc[first].lower_ != "sole" or not after.isalpha() or after in ("of", "and", "or", "with", "in")


def _names_site(doc: Any, at: int) -> bool:
    """Whether a site stands at this token, or at the next after an article."""
    return any(site_named(token.lower_) for token in doc[at : at + 2])


def _in_tokens(doc: Any, found: Iterable[tuple[int, int, Concept]]) -> Iterator[tuple[int, int, Concept]]:
    """Places in characters as places in tokens."""
    offsets = doc.user_data[OFFSETS]
    for start, end, concept in found:
        tokens = [at for at, (first, last) in enumerate(offsets) if first < end and start < last]
        if tokens:
            yield tokens[0], tokens[-1] + 1, concept


def _mention(doc: Any, span: Any, concept: Concept, found: list[tuple[Any, Concept]]) -> Mention:
    offsets = doc.user_data[OFFSETS]
    start, end = offsets[span.start][0], offsets[span.end - 1][1]
    terms = [other for other, _ in found]
    modifiers = [cue for cue in span._.modifiers if reaches(doc, cue, span, terms)]
    side = doc[span.start - 1].lower_ if span.start else ""
    return Mention(
        concept,
        " ".join(token.text for token in span),
        start,
        end,
        _assertion(doc, span, concept, modifiers),
        side=side if concept.kind == "site" and side in ("left", "right") else "",
    )


def _assertion(doc: Any, span: Any, concept: Concept, cues: list[Any]) -> str:
    categories = {cue.category for cue in cues}
    heading = _heading(doc, span, concept)
    if heading:
        return heading
    for category in ORDER:
        if category in categories:
            return category.lower()
    is_heading = span.end < len(doc) and doc[span.end].text == ":"  # "Histology: nevus"
    if concept.kind == "confirmation" and "CONFIRMED" not in categories and not is_heading:
        return "listed"  # "biopsy" by itself claims nothing
    if "NEGATED" in categories and not doubted_first(cues, span):
        return "negated"
    if "UNCERTAIN" in categories or doc[span.end - 1].sent[-1].text == "?":
        return "uncertain"
    return AFFIRMED


def _heading(doc: Any, span: Any, concept: Concept) -> str:
    """What "Malignancy: ..." or "Melanoma: no" claims; "" where the term is no heading."""
    after = span.end
    while after < len(doc) and doc[after].lower_ in ("status", "assessment", "level", "grade", "degree", ")"):
        after += 1
    if (
        after >= len(doc)
        or doc[after].text != ":"
        or concept.kind not in ("diagnosis", "malignancy", "history")
    ):
        return ""
    value = doc[after + 1].lower_ if after + 1 < len(doc) else ""
    if value in NEGATIVE:
        return "negated"
    if value in POSITIVE:
        return AFFIRMED
    return "" if concept.kind == "diagnosis" and not value[:1].isdigit() else "heading"


def _alternatives(doc: Any, spans: list[Any], mentions: list[Mention]) -> list[Mention]:
    """Mark the members of "melanoma or nevus", and of lists of three classes and more."""
    result = list(mentions)
    for members in _runs(doc, spans, mentions):
        concepts = tuple(dict.fromkeys(mentions[at].concept for at in members))
        different = {concept.classes or concept.name for concept in concepts}
        between = {
            doc[at].lower_ for first in members[:-1] for at in range(spans[first].end, spans[first + 1].start)
        }
        if any(mentions[at].assertion == "heading" for at in members):  # "Benign vs malignant: ..."
            for at in members:
                result[at] = replace(result[at], assertion="heading")
        both_sexes = mentions[members[0]].concept.kind == "sex"
        if len(different) > 2 or (
            len(different) == 2 and (both_sexes or between & {"or", "/", "vs", "versus"})
        ):
            for at in members:
                result[at] = replace(result[at], alternatives=concepts)
    return result


def _runs(doc: Any, spans: list[Any], mentions: list[Mention]) -> Iterator[list[int]]:
    """Neighbouring mentions of one kind with nothing but a conjunction or comma between them."""
    run: list[int] = []
    for at, mention in enumerate(mentions):
        joined = run and mentions[run[-1]].concept.kind == mention.concept.kind
        if joined and not all(doc[i].lower_ in BETWEEN for i in range(spans[run[-1]].end, spans[at].start)):
            joined = False
        if not joined:
            if len(run) > 1:
                yield run
            run = []
        run = [*run, at] if mention.concept.kind in ("diagnosis", "malignancy", "sex") else []
    if len(run) > 1:
        yield run
