"""The label space, read from `taxonomy.yaml`: eight lesion classes, fifteen subclasses, malignancy, ICD-10.

The integer label of a class is its position in `CLASSES`; it is what shards store and models predict.
Records carry the words of their source beside it; `subclass_of` finds the subclass that they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BENIGN = "benign"
PRECANCEROUS = "pre-cancerous"
MALIGNANT = "malignant"
MALIGNANCIES = (BENIGN, PRECANCEROUS, MALIGNANT)
FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class LesionClass:
    """One of the eight classes: short code, full name, usual malignancy, ICD-10 (WHO), further names."""

    code: str
    name: str
    malignancy: str
    icd10: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subclass:
    """One of the fifteen subclasses: name, integer label of its class, ICD-10 (WHO), further names."""

    name: str
    label: int
    icd10: str = ""
    words: tuple[str, ...] = ()


def _read() -> tuple[tuple[LesionClass, ...], tuple[Subclass, ...]]:
    content: dict[str, list[dict[str, Any]]] = yaml.safe_load(FILE.read_text())
    classes = tuple(LesionClass(**{**entry, "words": tuple(entry["words"])}) for entry in content["classes"])
    codes = [lesion.code for lesion in classes]
    subclasses = tuple(
        Subclass(entry["name"], codes.index(entry["class"]), entry["icd10"], tuple(entry["words"]))
        for entry in content["subclasses"]
    )
    return classes, subclasses


CLASSES, SUBCLASSES = _read()
CODES: tuple[str, ...] = tuple(c.code for c in CLASSES)
NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)
UNKNOWN_LABEL = -1


def label_of(code_or_name: str) -> int:
    """Integer label of a class by its code ("MEL"), name ("melanoma") or another of its names, in any case.

    Raises `KeyError` for anything else, so that callers can name the row that holds it.
    """
    wanted = code_or_name.strip().lower()
    for label, lesion in enumerate(CLASSES):
        if wanted in (lesion.code.lower(), lesion.name, *lesion.words):
            return label
    raise KeyError(code_or_name)


def subclass_of(words: str) -> Subclass | None:
    """The subclass that `words` name exactly, in any case; None where they name none of the fifteen."""
    wanted = " ".join(words.lower().split())
    for subclass in SUBCLASSES:
        if wanted in (subclass.name.lower(), *subclass.words):
            return subclass
    return None
