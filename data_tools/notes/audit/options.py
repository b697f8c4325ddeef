"""Closed sets: what a note of L1 or OL may choose from, and whether it kept to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from data_tools.notes.audit.findings import Finding
from data_tools.notes.audit.reader import Mention
from data_tools.notes.audit.truth import Truth
from data_tools.notes.strategies.structured import OPTIONS
from mmfm.taxonomy import MALIGNANCIES

# The sections of a note of L1, by the key of their options.
HEADINGS = {
    "asymmetry": r"(?:a?symmetry)",
    "border": r"(?:borders?(?: definition)?)",
    "colors": r"(?:colou?rs?)",
    "structures": r"(?:(?:dermoscopic |dermatoscopic )?structures?)",
}
_ANY = "|".join((*HEADINGS.values(), "impression", "diagnosis", "malignancy", "conclusion", "class"))
_SECTION = r"(?:^|(?<=[\s.;,*]))(?:[A-F1-9][).]\s*)?(?P<heading>{heading})\s*\**\s*:\s*\**\s*(?P<value>.*?)"
_END = rf"(?=[.;\n]|,?\s*\b(?:[A-F1-9][).]\s*)?(?:{_ANY})\s*:|$)"
SECTIONS = {
    key: re.compile(_SECTION.format(heading=heading) + _END, re.IGNORECASE)
    for key, heading in HEADINGS.items()
}
DIAGNOSIS = re.compile(_SECTION.format(heading="diagnosis|class") + _END, re.IGNORECASE)
MALIGNANCY = re.compile(_SECTION.format(heading="malignancy") + _END, re.IGNORECASE)
SPLIT = re.compile(r"\s*(?:,|/|;|\band\b|\bwith\b|&|\+)\s*", re.IGNORECASE)
NOTHING = re.compile(r"(?:none|no|not|absent|n/?a|nil|without)\b.*", re.IGNORECASE)  # the empty list


def check_options(strategy: str, text: str, mentions: Sequence[Mention], truth: Truth) -> Iterator[Finding]:
    """Values outside the closed sets of `strategy`; nothing for those that have none."""
    if strategy == "L1":
        yield from _sections(text)
        yield from _words(text, mentions, truth)
    elif strategy == "OL":
        yield from _choice(text, mentions)


def _sections(text: str) -> Iterator[Finding]:
    """What stands behind the headings of a report."""
    for key, pattern in SECTIONS.items():
        for match in pattern.finditer(text):
            for item in SPLIT.split(match["value"].strip(" *")):
                if not _allowed(item, OPTIONS[key]):
                    detail = f"{match['heading'].lower()} {item!r} is none of {', '.join(OPTIONS[key])}"
                    yield Finding("option", detail, match.start("value"), match.end("value"))


def _allowed(item: str, options: Sequence[str]) -> bool:
    if not item or NOTHING.fullmatch(item):
        return True
    return any(re.search(rf"(?<!\w){_plain(option)}", _spaced(item)) for option in options)


def _spaced(text: str) -> str:
    text = text.lower().replace("grey", "gray").replace("bluish", "blue").replace("-", " ")
    return " ".join(text.split())


def _plain(option: str) -> str:
    """An option as it is looked for: singular and plural are the same."""
    return re.escape(_spaced(option).removesuffix("s"))


def _words(text: str, mentions: Sequence[Mention], truth: Truth) -> Iterator[Finding]:
    """Words of the categories that are in none of the sets, wherever they are affirmed."""
    sections = [match.span("value") for pattern in SECTIONS.values() for match in pattern.finditer(text)]
    for mention in mentions:
        inside = any(first <= mention.start < last for first, last in sections)
        if mention.concept.kind == "outside" and mention.claimed and not inside and not truth.says(mention):
            detail = f"{mention.concept.name} {mention.text!r} is outside the options"
            yield Finding("option", detail, mention.start, mention.end)


def _choice(text: str, mentions: Sequence[Mention]) -> Iterator[Finding]:
    """The diagnosis must be of the eight classes, the malignancy of the three."""
    for mention in mentions:
        if mention.concept.kind == "diagnosis" and mention.claimed and not mention.concept.classes:
            detail = f"{mention.text!r} is not in the list of classes"
            yield Finding("option", detail, mention.start, mention.end)
    for match in DIAGNOSIS.finditer(text):
        first, last = match.span("value")
        if not any(each.concept.kind == "diagnosis" and first <= each.start < last for each in mentions):
            yield Finding("option", f"diagnosis {match['value']!r} is not in the list", first, last)
    for match in MALIGNANCY.finditer(text):
        said = _spaced(match["value"])
        if not any(_spaced(one) in said for one in (*MALIGNANCIES, "precancerous", "premalignant")):
            detail = f"malignancy {match['value']!r} is none of {', '.join(MALIGNANCIES)}"
            yield Finding("option", detail, *match.span("value"))
