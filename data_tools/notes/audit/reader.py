"""Reads a note: which terms it mentions, and what it claims of each.

Terms are matched by spaCy; ConText, as medspaCy has it, finds negation, uncertainty, history and family by the
rules of `context.yaml`. What is added here: alternatives ("melanoma or nevus"), headings ("Malignancy:"), and
that a cue does not reach over a comma to another topic.
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
from data_tools.notes.audit.sites import site_named
from data_tools.notes.audit.terms import Concept, Term, normalise, terms
from data_tools.notes.audit.tokens import LINE, OFFSETS, NoteTokenizer

RULES = Path(__file__).with_name("context.yaml")
GROUP = "mentions"
AFFIRMED = "affirmed"
# Of several categories the first decides; NEGATED and UNCERTAIN go by their places.
ORDER = ("UNKNOWN", "FAMILY", "HISTORICAL", "OTHERS", "HYPOTHETICAL")
BETWEEN = frozenset({",", "or", "/", "and", "a", "an", "the", "vs", "versus", ".", "either"})
DETERMINERS = frozenset(
    "the his her their a left right upper lower mid central of on patient s : ( , and or at over from".split()
)
CAREFUL = frozenset(
    "back sole face head hand hip temple crown calf gum vertex brow shin breast foot flank flanks arm leg chin trunk neck lip".split()
)
NEGATIVE = frozenset({"no", "not", "none", "absent", "negative", "unlikely", "excluded"})
POSITIVE = frozenset({"yes", "present", "positive", "confirmed", "likely"})


DIAGNOSTIC = frozenset({"diagnosis", "malignancy"})
# Cues that reach over a whole list or clause; what begins a new clause; what links a finding to a diagnosis.
OPEN = re.compile(
    r"differential|consideration|alternative|whether|\bif\b|question|possibility|doubt|unclear|certain"
)
CLAUSE = re.compile(
    r"\b(?:(?:this|it|which|that|lesion|diagnosis|findings?|picture|image|and|is)(?:\s\w+){0,2}?\s"
    r"(?:is|was|are|were|shows?|represents?|corresponds?|belongs?)|is an?|was an?|and the|diagnosed (?:as|with)|"
    r"classified as|known (?:as|to be)|overall)\b"
)
VERB = re.compile(
    r"\b(?:suggests|suggesting|favors|favoring|indicates|indicating|supports|supporting|confirms|confirming|"
    r"points|pointing|speaks|argues|represents|representing|makes|fits|fitting|identifies|establishes)\b"
)
LINK = re.compile(
    r"\b(?:consistent|compatible|in keeping|in line|typical|characteristic|diagnostic|classic|suggestive|as expected)"
    r"\s(?:with|of|for)\b"
)
SIGNS = re.compile(
    r"\b(?:features?|signs?|findings?|criteri(?:a|on)|structures?|evidence|characteristics?|patterns?|changes?|"
    r"indications?|aspects?|elements?|clues?|hallmarks?|anything|it)\b"
)


AUXILIARIES = frozenset(
    "is was are were be been has have can could very highly deemed also therefore".split()
)
NEW = frozenset({"this", "it", "that", "these", "we", "so", "one"})  # what may begin a clause after a comma
GAP = 3  # most words between the members of a list that one cue is about


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
    if concept.kind != "site" or last - first > 1 or doc[first].lower_ not in CAREFUL:
        return True
    before = doc[first - 1].lower_ if first else ":"
    after = doc[last].lower_ if last < len(doc) else "."
    if before not in DETERMINERS or (after == "of" and _names_site(doc, last + 1)):
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
    modifiers = [cue for cue in span._.modifiers if _reaches(doc, cue, span, found)]
    side = doc[span.start - 1].lower_ if span.start else ""
    return Mention(
        concept,
        " ".join(token.text for token in span),
        start,
        end,
        _assertion(doc, span, concept, modifiers),
        side=side if concept.kind == "site" and side in ("left", "right") else "",
    )


def _reaches(doc: Any, cue: Any, span: Any, found: list[tuple[Any, Concept]]) -> bool:
    """Whether a denial or doubt is about the term; cues of other categories always are."""
    if cue.category not in ("NEGATED", "UNCERTAIN"):
        return True
    first, last = cue.modifier_span
    kinds = DIAGNOSTIC if span.label_ in DIAGNOSTIC else {span.label_}
    peers = [other for other, _ in found if other.label_ in kinds]
    if last <= span.start:
        text = doc[first:last].text.lower()
        return bool(OPEN.search(text)) or _reaches_on(doc, cue, span, peers)
    return _reaches_back(doc, cue, span, peers)


def _reaches_on(doc: Any, cue: Any, span: Any, peers: list[Any]) -> bool:
    """ "No network, melanoma" denies the network alone; "no ulceration and is a melanoma" the ulceration.

    Over a comma a cue reaches only from one term to the next of its kind: "no melanoma, nevus or lentigo".
    """
    first, last = cue.modifier_span
    between = doc[last : span.start].text.lower()
    if CLAUSE.search(between) or (cue.category == "NEGATED" and _is_link(between)):
        return False
    if doc[first:last].text.lower() == "no" and doc[last].text in (",", ":"):
        return False  # an answer: "Is it benign? No: ..."
    before = [other for other in peers if last <= other.start < span.start]
    if before:
        gap = [token.lower_ for token in doc[before[-1].end : span.start]]
        if ":" in gap or ("," in gap and NEW & set(gap)):
            return False
        return len(gap) <= GAP or bool({"or", "nor"} & set(gap[:2]))
    if span.label_ == "history" and ":" not in between:  # "no ulceration, bleeding or crusts"
        return all(len(part.split()) <= GAP for part in between.split(","))
    return not {",", ":"} & {token.text for token in doc[last + 1 : span.start]} and doc[last].text != ","


def _is_link(between: str) -> bool:
    """ "Without ulceration typical of melanoma" claims one, "without features typical of melanoma" does not."""
    if VERB.search(between):
        return True
    link = LINK.search(between)
    return bool(link and not SIGNS.search(between[: link.start()]))


def _reaches_back(doc: Any, cue: Any, span: Any, peers: list[Any]) -> bool:
    """ "A nevus is seen and melanoma is excluded" excludes the melanoma alone, "nevus or melanoma" both."""
    first = cue.modifier_span[0]
    while first > span.end and doc[first - 1].lower_ in AUXILIARIES:
        first -= 1
    nearer = [other for other in peers if span.end <= other.start < first]
    words = {
        doc[at].lower_
        for at in range(span.end, first)
        if not any(other.start <= at < other.end for other in nearer)
    }
    if not nearer:
        return not words & {"is", "was", "are", "were", "shows", "seen", ";"}
    several = cue.category == "UNCERTAIN" or doc[first].lower_ not in ("is", "was", "has")
    return "such" in words or (words <= BETWEEN and (several or "or" in words))


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
    if "NEGATED" in categories and not _doubted_first(cues, span):
        return "negated"
    if "UNCERTAIN" in categories or doc[span.end - 1].sent[-1].text == "?":
        return "uncertain"
    return AFFIRMED


def _doubted_first(cues: list[Any], span: Any) -> bool:
    """Whether doubt embraces denial: "may not be melanoma", against "not suspicious for melanoma"."""
    doubts = [cue.modifier_span[0] for cue in cues if cue.category == "UNCERTAIN"]
    denials = [cue.modifier_span[0] for cue in cues if cue.category == "NEGATED"]
    return bool(doubts) and (min(doubts) < min(denials) or max(doubts) > span.start)


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
