"""Age, sex, site, skin tone, confirmation and history: what was never given, or given otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from data_tools.notes.audit.findings import Finding
from data_tools.notes.audit.reader import Mention
from data_tools.notes.audit.sites import agree
from data_tools.notes.audit.truth import Truth

# Histories that are as invented where they are denied: "no family history of melanoma".
EVEN_DENIED = frozenset({"family", "personal", "asymptomatic", "duration"})


def check_patient(mentions: Iterable[Mention], truth: Truth) -> Iterator[Finding]:
    """What a note claims of the patient and the place of the lesion, and is not known or known otherwise."""
    for mention in mentions:
        if is_claim(mention) and not is_supported(mention, truth):
            kind = "history" if mention.concept.kind == "diagnosis" else mention.concept.kind
            yield Finding(kind, f"says {mention.text}; {_known(kind, truth)}", mention.start, mention.end)


def is_claim(mention: Mention) -> bool:
    """Whether `mention` claims something of the patient."""
    kind = mention.concept.kind
    if kind == "history":
        denied = mention.assertion == "negated" and mention.concept.name in EVEN_DENIED
        return mention.assertion in ("affirmed", "family", "historical") or denied
    if kind == "diagnosis":
        return mention.assertion == "historical"  # "previous melanoma"
    return kind in ("age", "sex", "site", "skin_tone", "confirmation") and mention.claimed


def is_supported(mention: Mention, truth: Truth) -> bool:
    """Whether what it claims is known."""
    if truth.says(mention):
        return not mention.side or _side_known(mention, truth)
    match mention.concept.kind:
        case "age":
            return _age(mention, truth)
        case "sex":
            return bool(mention.alternatives) or truth.facts.get("sex") == mention.concept.name
        case "site":
            known = truth.sites()
            return any(agree(mention.concept.name, site) for site in known) and (
                not mention.side or _side_known(mention, truth)
            )
        case "skin_tone":
            return _tone(mention, truth)
        case "confirmation":
            return mention.concept.name == truth.facts.get("confirmation", "").lower()
        case "diagnosis":
            return ("history", "personal", "affirmed") in truth.said
        case _:
            return ("history", mention.concept.name, "affirmed") in truth.said


def _age(mention: Mention, truth: Truth) -> bool:
    span = mention.concept.span
    assert span is not None, "ages have one"
    return "age" in truth.facts and span[0] <= float(truth.facts["age"]) <= span[1]


def _tone(mention: Mention, truth: Truth) -> bool:
    """Fitzpatrick types are digits; MILK10k's "class 0" to "class 5" go from the darkest to the lightest."""
    grade = re.fullmatch(r"(?P<class>class )?(?P<number>\d)", truth.facts.get("skin_tone", ""))
    span = mention.concept.span
    if grade is None or span is None:
        return False
    number = float(grade["number"])
    scale = "class" if grade["class"] else "fitzpatrick"
    by_words = mention.concept.value == "" and not mention.text[-1].isdigit()
    if by_words and scale == "class":
        number = 6 - number
    elif mention.concept.value not in ("", scale):
        return False
    return span[0] <= number <= span[1]


def _side_known(mention: Mention, truth: Truth) -> bool:
    return any(
        re.search(rf"\b{mention.side}\b", value.lower()) for value in (*truth.facts.values(), *truth.drawn)
    )


def _known(kind: str, truth: Truth) -> str:
    known = truth.facts.get(kind, "")
    return f"known is {known}" if known else "none was given"
