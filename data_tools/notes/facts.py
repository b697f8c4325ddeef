"""What is known of a lesion: as values that writers are told, and as phrases for templates."""

from __future__ import annotations

import math
import re

from mmfm.records import NOT_KNOWN, Record
from mmfm.taxonomy import MALIGNANCIES, PRECANCEROUS

UNKNOWN = (*NOT_KNOWN, "0")  # "0": an empty cell of a spreadsheet
# The names of `given`, in the order in which writers are told.
NAMES = (
    "class",
    "native_class",
    "subclass",
    "matched_subclass",
    "malignancy",
    "description",
    "age",
    "sex",
    "site",
    "skin_tone",
    "confirmation",
)
PLACES = {
    "acral skin": "on acral skin",
    "head and neck": "in the head and neck region",
    "whole body": "anywhere on the body",
}
ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI"}


def given(record: Record) -> dict[str, str]:
    """What a writer is told of `record` where it is told at all: the known values by their `NAMES`.

    Values are those of the record in clean form (one line, no mark at the end; the age in years). A value
    that is not known has no entry, nor has a name of the lesion all of whose words another one holds:
    "melanoma invasive" beside "invasive melanoma", "nevus" beside "melanocytic nevus".
    """
    values = {
        "class": record.class_name,
        "native_class": clean(record.native_class),
        "subclass": clean(record.subclass),
        "matched_subclass": clean(record.matched_subclass),
        "malignancy": _malignancy(record.malignancy),
        "description": clean(record.description),
        "age": _age(record.age),
        "sex": clean(record.sex),
        "site": clean(record.site),
        "skin_tone": clean(record.skin_tone),
        "confirmation": clean(record.confirmation),
    }
    said: list[set[str]] = []
    for name in ("class", "subclass", "native_class", "matched_subclass"):  # the first are the last to go
        words = set(re.findall(r"\w+", values[name].lower())) - {"nos"}  # "not otherwise specified"
        if any(words <= others for others in said):
            values[name] = ""
        said.append(words)
    return {name: value for name, value in values.items() if value}


def facts_of(record: Record) -> dict[str, str]:
    """What the record holds, as phrases; a fact that is not known has no entry.

    Beside the `given` names: "patient" ("an 80-year-old male patient"), the same with a capital as "Patient",
    "place" ("on the ear"), "tone" ("Fitzpatrick type II"); "description" is a sentence.
    """
    known = given(record)
    patient = _patient(known.get("age", ""), known.get("sex", ""))
    site = known.get("site", "")
    facts = {
        **known,
        "description": _sentence(known.get("description", "")),
        "patient": patient,
        "Patient": patient[:1].upper() + patient[1:],
        "place": PLACES.get(site, f"on the {site}") if site else "",
        "tone": _tone(known.get("skin_tone", "")),
    }
    return {name: phrase for name, phrase in facts.items() if phrase}


def clean(text: str) -> str:
    """`text` on one line, without marks at its ends that stand for nothing; "" where it says "not known"."""
    text = " ".join(text.split())  # this takes no-break spaces as well
    stripped = text.strip(" -,;:")
    return "" if stripped.lower() in UNKNOWN else stripped


def _malignancy(text: str) -> str:
    """One of `MALIGNANCIES`: "indeterminate - pre-cancerous" is pre-cancerous. Other words stay."""
    text = clean(text)
    if text.lower() in MALIGNANCIES:
        return text.lower()
    return PRECANCEROUS if PRECANCEROUS in text.lower() else text


def _age(age: float | None) -> str:
    return f"{age:g}" if age is not None and math.isfinite(age) and age >= 0 else ""


def _patient(age: str, sex: str) -> str:
    """ "an 80-year-old woman" needs an age to tell women from girls, so: "an 80-year-old female patient"."""
    if not age:
        return f"a {sex} patient" if sex else ""
    article = "an" if age.startswith("8") or age.partition(".")[0] in ("11", "18") else "a"
    return f"{article} {age}-year-old {sex} patient" if sex else f"{article} {age}-year-old patient"


def tone_of(grade: str) -> str:
    """Digits are Fitzpatrick types; a source with another scale says so itself ("class 3")."""
    return f"Fitzpatrick type {ROMAN[grade]}" if grade in ROMAN else grade


def _tone(grade: str) -> str:
    """The same, to stand after "the skin is of"."""
    return tone_of(grade) if grade in ROMAN or not grade else f"tone {grade}"


def _sentence(text: str) -> str:
    """`text` with a capital at the start and a stop at the end."""
    return text and text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
