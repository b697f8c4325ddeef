"""From the words of the sources to those of the records: sex, age, site, malignancy, confirmation."""

from __future__ import annotations

import math

from mmfm.records import NOT_KNOWN
from mmfm.taxonomy import BENIGN, CLASSES, MALIGNANT, PRECANCEROUS, UNKNOWN_LABEL

_SEX = {"m": "male", "f": "female", "male": "male", "female": "female", "man": "male", "woman": "female"}
_TONE = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "-1": ""}
_LICENSE = {
    "CC-0": "CC0-1.0",
    "CC0": "CC0-1.0",
    "CC-BY": "CC-BY-4.0",
    "CC BY": "CC-BY-4.0",
    "CC-BY-NC": "CC-BY-NC-4.0",
    "CC BY-NC": "CC-BY-NC-4.0",
}
_SITE = {
    "head neck face": "head and neck",
    "head neck": "head and neck",
    "head/neck": "head and neck",
    "upper limbs": "upper extremity",
    "lower limbs": "lower extremity",
    "buttocks": "buttock",
    "genital": "genital area",
    "genital areas": "genital area",
    "oral/genital": "oral or genital area",
    "oral or genital": "oral or genital area",
    "palms/soles": "palm or sole",
    "acral": "acral skin",  # which of palm, sole, finger or toe it does not tell
    "acral palms or soles": "palm or sole",
}
_CONFIRMATION = {
    "histo": "histopathology",
    "histopathology": "histopathology",
    "biopsy": "histopathology",
    "follow_up": "follow-up",
    "follow up": "follow-up",
    "follow-up": "follow-up",
    "consensus": "expert consensus",
    "confocal": "confocal microscopy",
    "clinical": "clinical assessment",
    "single contributor clinical assessment": "clinical assessment",
    "single image expert consensus": "expert consensus",
    "serial imaging showing no change": "follow-up",
}
_MALIGNANCY = {
    "benign": BENIGN,
    "malignant": MALIGNANT,
    "indeterminate": PRECANCEROUS,
    "precancerous": PRECANCEROUS,
    "pre-cancerous": PRECANCEROUS,
    "indeterminate - pre-cancerous": PRECANCEROUS,
}


def known(value: str) -> str:
    """`value` without the many spellings of "not known", which become ""."""
    return "" if value.strip().lower() in NOT_KNOWN else value.strip()


def sex_of(value: str) -> str:
    """ "male", "female" or ""."""
    return _SEX.get(value.strip().lower(), "")


def unread_age(value: str) -> bool:
    """Whether `value` is meant to be an age, and is none that can be read."""
    return bool(known(value)) and age_of(value) is None and known(value) not in ("0", "0.0")


def age_of(value: str) -> float | None:
    """Years, or None. Zero stands for "not known" in several public tables, so it counts as that."""
    try:
        age = float(value)
    except ValueError:
        return None
    return age if math.isfinite(age) and 0 < age <= 120 else None


def site_of(value: str) -> str:
    """A body site in plain lower-case words: "lower_extremity" becomes "lower extremity"."""
    words = " ".join(known(value).lower().replace("_", " ").split())
    return _SITE.get(words, words)


def skin_tone_of(value: str) -> str:
    """The grade of the source, without a decimal that spreadsheets add: "3.0" becomes "3".

    Roman numerals, also with words after them ("III medium brown"), become numbers, and -1 is not known.
    """
    words = known(value).lower().removeprefix("fitzpatrick").removeprefix(" type").split()
    grade = words[0].removesuffix(".0") if words else ""
    return _TONE.get(grade, known(value).removesuffix(".0"))


def confirmation_of(value: str) -> str:
    """How the diagnosis was made, in plain words; words not in the list stay as they are."""
    word = known(value).lower()
    return _CONFIRMATION.get(word, word)


def license_of(value: str) -> str:
    """The SPDX name of a licence, where the source has its own; others stay as they are."""
    return _LICENSE.get(known(value).upper(), known(value))


def malignancy_of(value: str, label: int) -> str:
    """One of `taxonomy.MALIGNANCIES`: that of the source, else that of the class; "" if neither is known.

    Raises `KeyError` for a word that means none of them.
    """
    word = known(value).lower()
    if not word:
        return CLASSES[label].malignancy if label != UNKNOWN_LABEL else ""
    return _MALIGNANCY[word]
