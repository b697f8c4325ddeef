"""The label space: eight lesion classes with their malignancy, and the fifteen subclasses below them.

The integer label of a class is its position in `CLASSES`; it is what shards store and models predict.
"""

from __future__ import annotations

from dataclasses import dataclass

BENIGN = "benign"
PRECANCEROUS = "pre-cancerous"
MALIGNANT = "malignant"
MALIGNANCIES = (BENIGN, PRECANCEROUS, MALIGNANT)


@dataclass(frozen=True)
class LesionClass:
    """One of the eight classes: short code, full name, malignancy and the subclasses it holds."""

    code: str
    name: str
    malignancy: str
    subclasses: tuple[str, ...]


CLASSES: tuple[LesionClass, ...] = (
    LesionClass(
        "BEK", "benign keratosis", BENIGN, ("seborrheic keratosis", "solar lentigo", "lichenoid keratosis")
    ),
    LesionClass("DF", "dermatofibroma", BENIGN, ("dermatofibroma",)),
    LesionClass(
        "NEV",
        "melanocytic nevus",
        BENIGN,
        ("melanocytic nevus", "dysplastic nevus", "congenital nevus", "blue nevus"),
    ),
    LesionClass("VASC", "vascular lesion", BENIGN, ("vascular lesion",)),
    LesionClass("ACK", "actinic keratosis", PRECANCEROUS, ("actinic keratosis",)),
    LesionClass("BCC", "basal cell carcinoma", MALIGNANT, ("basal cell carcinoma",)),
    LesionClass("MEL", "melanoma", MALIGNANT, ("melanoma", "lentigo maligna")),
    LesionClass(
        "SCC",
        "squamous cell carcinoma",
        MALIGNANT,
        ("squamous cell carcinoma", "squamous cell carcinoma in situ"),
    ),
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
