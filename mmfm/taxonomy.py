"""The label space: eight lesion classes with their malignancy.

The integer label of a class is its position in `CLASSES`; it is what shards store and models predict.
Subclasses are no closed list: records carry the words of their source.
"""

from __future__ import annotations

from dataclasses import dataclass

BENIGN = "benign"
PRECANCEROUS = "pre-cancerous"
MALIGNANT = "malignant"
MALIGNANCIES = (BENIGN, PRECANCEROUS, MALIGNANT)


@dataclass(frozen=True)
class LesionClass:
    """One of the eight classes: short code, full name and usual malignancy."""

    code: str
    name: str
    malignancy: str


CLASSES: tuple[LesionClass, ...] = (
    LesionClass("BEK", "benign keratosis", BENIGN),
    LesionClass("DF", "dermatofibroma", BENIGN),
    LesionClass("NEV", "melanocytic nevus", BENIGN),
    LesionClass("VASC", "vascular lesion", BENIGN),
    LesionClass("ACK", "actinic keratosis", PRECANCEROUS),
    LesionClass("BCC", "basal cell carcinoma", MALIGNANT),
    LesionClass("MEL", "melanoma", MALIGNANT),
    LesionClass("SCC", "squamous cell carcinoma", MALIGNANT),
)

CODES: tuple[str, ...] = tuple(c.code for c in CLASSES)
NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)
UNKNOWN_LABEL = -1


def label_of(code_or_name: str) -> int:
    """Integer label of a class code ("MEL") or name ("melanoma"), case-insensitive.

    Raises `KeyError` for anything else, so that callers can name the row that holds it.
    """
    wanted = code_or_name.strip().lower()
    for label, lesion in enumerate(CLASSES):
        if wanted in (lesion.code.lower(), lesion.name):
            return label
    raise KeyError(code_or_name)
