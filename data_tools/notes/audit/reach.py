"""How far a denial or a doubt reaches in its clause: which terms it is about.

ConText takes all of a clause after a cue. Notes of language models run clauses together ("shows no ulceration
and is a melanoma"), so here commas, new clauses and words that link a finding to a diagnosis end the reach.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

BETWEEN = frozenset({",", "or", "/", "and", "a", "an", "the", "vs", "versus", ".", "either"})
DIAGNOSTIC = frozenset({"diagnosis", "malignancy"})
# Cues that reach over a whole list or clause; what begins a new clause; what links a finding to a diagnosis.
OPEN = re.compile(
    r"differential|consideration|alternative|whether|\bif\b|question|possibility|doubt|unclear|certain"
)
CLAUSE = re.compile(
    r"\b(?:(?:this|it|which|that|lesion|diagnosis|findings?|picture|image|and|is)(?:\s\w+){0,2}?\s"
    r"(?:is|was|are|were|shows?|represents?|corresponds?|belongs?)|is an?|was an?|and the|"
    r"diagnosed (?:as|with)|"
    r"classified as|known (?:as|to be)|overall)\b"
)
VERB = re.compile(
    r"\b(?:suggests|suggesting|favors|favoring|indicates|indicating|supports|supporting|confirms|confirming|"
    r"points|pointing|speaks|argues|represents|representing|makes|fits|fitting|identifies|establishes)\b"
)
LINK = re.compile(
    r"\b(?:consistent|compatible|in keeping|in line|typical|characteristic|diagnostic|classic|suggestive|"
    r"as expected)"
    r"\s(?:with|of|for)\b"
)
SIGNS = re.compile(
    r"\b(?:features?|signs?|findings?|criteri(?:a|on)|structures?|evidence|characteristics?|patterns?|changes?|"
    r"indications?|aspects?|elements?|clues?|hallmarks?|anything|it)\b"
)


AUXILIARIES = re.compile(r"is|was|are|were|be|been|has|have|can|could|very|highly|deemed|also|therefore")
NEW = frozenset({"this", "it", "that", "these", "we", "so", "one"})  # what may begin a clause after a comma
GAP = 3  # most words between the members of a list that one cue is about


def reaches(doc: Any, cue: Any, span: Any, terms: Sequence[Any]) -> bool:
    """Whether a denial or doubt is about the term `span`; cues of other categories are, unless within it.

    `cue` is a modifier of ConText in whose clause the term stands; `terms` are all terms of the note.
    """
    first, last = cue.modifier_span
    if span.start <= first and last <= span.end:
        return False  # ConText lets a word within a term change it: "lichen planus-like keratosis"
    if cue.category not in ("NEGATED", "UNCERTAIN"):
        return True
    kinds = DIAGNOSTIC if span.label_ in DIAGNOSTIC else {span.label_}
    peers = [other for other in terms if other.label_ in kinds]
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
    """ "Without ulceration typical of melanoma" claims one, "without features typical of it" does not."""
    if VERB.search(between):
        return True
    link = LINK.search(between)
    return bool(link and not SIGNS.search(between[: link.start()]))


def _reaches_back(doc: Any, cue: Any, span: Any, peers: list[Any]) -> bool:
    """ "A nevus is seen and melanoma is excluded" excludes the melanoma alone, "nevus or melanoma" both."""
    first = cue.modifier_span[0]
    while first > span.end and AUXILIARIES.fullmatch(doc[first - 1].lower_):
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


def doubted_first(cues: list[Any], span: Any) -> bool:
    """Whether doubt embraces denial: "may not be melanoma", against "not suspicious for melanoma"."""
    doubts = [cue.modifier_span[0] for cue in cues if cue.category == "UNCERTAIN"]
    denials = [cue.modifier_span[0] for cue in cues if cue.category == "NEGATED"]
    return bool(doubts) and (min(doubts) < min(denials) or max(doubts) > span.start)
