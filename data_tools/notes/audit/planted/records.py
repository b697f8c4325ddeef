"""Made-up records for notes with known errors, and what would be wrong to say of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mmfm.records import Record
from mmfm.taxonomy import CLASSES, CODES, MALIGNANCIES, SUBCLASSES

# Names of a lesion within its class, and one of the same class that excludes it; "" where none does.
NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "BEK": (
        ("seborrheic keratosis", "solar lentigo"),
        ("solar lentigo", "lichenoid keratosis"),
        ("lichenoid keratosis", "seborrheic keratosis"),
    ),
    "DF": (("dermatofibroma", ""),),
    "NEV": (
        ("dysplastic nevus", "blue nevus"),
        ("blue nevus", "dysplastic nevus"),
        ("compound nevus", "junctional nevus"),
        ("dermal nevus", "compound nevus"),
        ("congenital nevus", "blue nevus"),
    ),
    "VASC": (("hemangioma", "angiokeratoma"), ("angiokeratoma", "pyogenic granuloma")),
    "ACK": (("actinic keratosis", ""),),
    "BCC": (
        ("nodular basal cell carcinoma", "superficial basal cell carcinoma"),
        ("basal cell carcinoma", ""),
    ),
    "MEL": (
        ("lentigo maligna", "nodular melanoma"),
        ("nodular melanoma", "lentigo maligna"),
        ("invasive melanoma", "melanoma in situ"),
        ("melanoma in situ", "invasive melanoma"),
    ),
    "SCC": (
        ("Bowen disease", "invasive squamous cell carcinoma"),
        ("invasive squamous cell carcinoma", "Bowen disease"),
    ),
}
SITES = (  # a site, one that it lies in, one that it cannot be
    ("cheek", "face", "lower leg"),
    ("back", "trunk", "nose"),
    ("forearm", "upper extremity", "abdomen"),
    ("scalp", "head and neck", "thigh"),
    ("thigh", "lower extremity", "ear"),
    ("chest", "trunk", "foot"),
    ("foot", "lower extremity", "scalp"),
)
AGES = (34, 67, 45, 72, 81, 56, 29)
CONFIRMATIONS = ("histopathology", "expert consensus", "follow-up")
TONES = ("2", "4", "1", "5", "3")
ROUNDS = 6  # records of each class


@dataclass(frozen=True)
class Case:
    """A made-up lesion with what is false of it."""

    record: Record
    broad_site: str  # that its site lies in
    other: str  # name of another class
    other_subclass: str  # of its class, but excluded by its own; "" where there is none
    wrong_site: str
    wrong_age: int


@cache
def cases() -> tuple[Case, ...]:
    """The same cases at every call: of every class in turn."""
    return tuple(_case(number) for number in range(ROUNDS * len(CLASSES)))


def _case(number: int) -> Case:
    label = number % len(CLASSES)
    turn = number // len(CLASSES)
    lesion = CLASSES[label]
    names = NAMES[lesion.code]
    name, other = names[turn % len(names)]
    site, broad, wrong = SITES[number % len(SITES)]
    age = AGES[number % len(AGES)]
    return Case(
        Record(
            dataset="planted",
            image_id=f"{number:04d}",
            domain="dermoscopic",
            label=label,
            subclass=name,
            matched_subclass=_matched(name),
            malignancy=lesion.malignancy,
            age=float(age),
            sex=("female", "male")[(number + turn) % 2],
            site=site,
            skin_tone=TONES[number % len(TONES)],
            confirmation=CONFIRMATIONS[number % len(CONFIRMATIONS)],
        ),
        broad_site=broad,
        other=CLASSES[(label + 1 + turn % (len(CLASSES) - 1)) % len(CODES)].name,
        other_subclass=other,
        wrong_site=wrong,
        wrong_age=age - 22 if age > 50 else age + 31,
    )


def _matched(name: str) -> str:
    return next((one.name for one in SUBCLASSES if name in (one.name, *one.words)), "")


def wrong_malignancy(record: Record) -> str:
    """One of the three that does not hold: benign for what is not, malignant for what is."""
    benign, _, malignant = MALIGNANCIES
    return malignant if record.malignancy == benign else benign
