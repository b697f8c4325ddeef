"""What a source's words for a diagnosis mean: class, subclass, malignancy. Words are in `diagnoses.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from data_tools.sources.base import BadRowError
from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL, label_of, subclass_of

FILE = Path(__file__).with_name("diagnoses.yaml")
UNKNOWN = "unknown"  # malignancy of words that leave it open
AMERICAN = {
    "naevus": "nevus",
    "naevi": "nevi",
    "haemangioma": "hemangioma",
    "seborrhoeic": "seborrheic",
    "tumour": "tumor",
}


@dataclass(frozen=True)
class Diagnosis:
    """A lesion in the terms of the taxonomy, and in the source's own words for its class (`native`)."""

    label: int = UNKNOWN_LABEL
    native: str = ""
    subclass: str = ""  # plain words
    matched: str = ""  # of taxonomy.SUBCLASSES
    malignancy: str = ""


@cache
def plain(words: str) -> str:
    """Words as they are compared: lower case, American spelling, no punctuation, no "NOS"."""
    parts = re.findall(r"[a-z0-9.]+", words.lower().replace("'", ""))
    return " ".join(AMERICAN.get(part, part) for part in parts if part != "nos").strip(". ")


def diagnosis_of(words: str) -> Diagnosis:
    """What `words` mean. Raises `BadRowError` where they are outside the eight classes, or not known."""
    wanted = plain(words)
    known, outside = _read()
    if wanted in known:
        return replace(known[wanted], native=words.strip().lower())
    if not wanted:
        raise BadRowError("no diagnosis")
    if wanted in outside:
        raise BadRowError(f"label {words!r} outside the eight classes")
    raise BadRowError(f"unknown label {words!r}; {FILE.name} has the words that are known")


def longest_diagnosis(words: str) -> Diagnosis:
    """The diagnosis that begins `words`, the longest of several: "basal cell carcinoma nose" is one of BCC.

    Raises `BadRowError` as `diagnosis_of` does.
    """
    parts = plain(words).split()
    known, outside = _read()
    for end in range(len(parts), 0, -1):
        beginning = " ".join(parts[:end])
        if beginning in known or beginning in outside:
            return diagnosis_of(beginning)
    return diagnosis_of(words)


@cache
def _read() -> tuple[dict[str, Diagnosis], frozenset[str]]:
    """The file's diagnoses by their plain words, and the words that are outside."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    known: dict[str, Diagnosis] = {}
    for entry in content["diagnoses"]:
        diagnosis = _diagnosis(entry)
        for words in (entry["subclass"], *entry.get("words", ())):
            assert known.setdefault(plain(words), diagnosis) == diagnosis, f"{words!r} means two things"
    outside = frozenset(plain(words) for words in content["outside"])
    assert not outside & known.keys(), sorted(outside & known.keys())
    return known, outside


def _diagnosis(entry: dict[str, Any]) -> Diagnosis:
    label = label_of(entry["class"])
    malignancy = entry.get("malignancy", CLASSES[label].malignancy)
    named = subclass_of(entry.get("matched", entry["subclass"]))
    assert named or not entry.get("matched"), entry
    return Diagnosis(
        label=label,
        subclass=entry["subclass"],
        matched=named.name if named else "",
        malignancy="" if malignancy == UNKNOWN else malignancy,
    )
