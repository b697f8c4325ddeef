"""Strategy M: a note from the metadata alone, by templates.

Three or four sentences: diagnosis with malignancy and subclass, the description if there is one, the
patient with the site, then skin tone and confirmation. A sentence says only what the record holds and falls
away when it would hold nothing. Each comes in a few wordings; which one is a hash of the record's key.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mmfm.records import Note, Record

# Every sentence: the facts that it needs, in order of preference, and the wordings for exactly these facts.
# The first group whose facts the record has is used.
Wordings = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

DIAGNOSIS: Wordings = (
    (
        ("class", "subclass", "malignancy"),
        (
            "The diagnosis is {class}, in particular {subclass}; the lesion is {malignancy}.",
            "A {malignancy} skin lesion of the class {class}, here {subclass}.",
            "This {malignancy} lesion is assigned to {class}, more closely {subclass}.",
            "Diagnosed as {class} ({subclass}), which counts here as {malignancy}.",
        ),
    ),
    (
        ("class", "malignancy"),
        (
            "The diagnosis is {class}; the lesion is {malignancy}.",
            "A {malignancy} skin lesion of the class {class}.",
            "This {malignancy} lesion is assigned to {class}.",
            "Diagnosed as {class}, which counts here as {malignancy}.",
        ),
    ),
    (
        ("class", "subclass"),
        (
            "The diagnosis is {class}, in particular {subclass}.",
            "A skin lesion of the class {class}, here {subclass}.",
        ),
    ),
    (("class",), ("The diagnosis is {class}.", "A skin lesion of the class {class}.")),
    (
        ("subclass", "malignancy"),
        (
            "A {malignancy} skin lesion, noted as {subclass}.",
            "The lesion is {malignancy} and noted as {subclass}.",
        ),
    ),
    (("subclass",), ("A skin lesion, noted as {subclass}.", "The lesion is noted as {subclass}.")),
    (("malignancy",), ("A {malignancy} skin lesion.", "The skin lesion is {malignancy}.")),
    ((), ("A skin lesion.", "The picture shows a skin lesion.")),
)
MORPHOLOGY: Wordings = (
    (
        ("description",),
        (
            "{description}",
            "Appearance: {description}",
            "On inspection: {description}",
            "Morphology: {description}",
        ),
    ),
)
PATIENT: Wordings = (
    (
        ("patient", "place"),
        (
            "The lesion lies {place} of {patient}.",
            "It is found {place} of {patient}.",
            "{Patient} has it {place}.",
            "Seen {place} in {patient}.",
        ),
    ),
    (("patient",), ("{Patient}.", "Seen in {patient}.", "{Patient} has this lesion.")),
    (("place",), ("The lesion lies {place}.", "It is found {place}.", "Seen {place}.")),
)
BACKGROUND: Wordings = (
    (
        ("tone", "confirmation"),
        (
            "The skin is of {tone}; confirmed by {confirmation}.",
            "Skin: {tone}. The diagnosis rests on {confirmation}.",
            "On skin of {tone}, confirmed by {confirmation}.",
        ),
    ),
    (("tone",), ("The skin is of {tone}.", "On skin of {tone}.")),
    (("confirmation",), ("Confirmed by {confirmation}.", "The diagnosis rests on {confirmation}.")),
)
SENTENCES: tuple[tuple[str, Wordings], ...] = (
    ("diagnosis", DIAGNOSIS),
    ("morphology", MORPHOLOGY),
    ("patient", PATIENT),
    ("background", BACKGROUND),
)
TEMPLATE_HASH = hashlib.sha256(json.dumps(SENTENCES).encode()).hexdigest()[:16]
PLACES = {"head and neck": "in the head and neck region", "whole body": "anywhere on the body"}
ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI"}


class MetadataTemplate:
    """Strategy M."""

    name = "M"
    version = "1"

    def write(self, record: Record, image: Path | None = None) -> Note:
        """The note of `record`; a pure function of it. The picture is not looked at."""
        facts = facts_of(record)
        sentences, choices = [], []
        for name, wordings in SENTENCES:
            chosen = _choose(name, wordings, facts, record.key)
            if chosen is not None:
                group, number, wording = chosen
                sentences.append(wording.format(**facts))
                choices.append(f"{name}.{group}.{number}")
        provenance = {
            "backend": "template",
            "version": self.version,
            "template": " ".join(choices),
            "template_hash": TEMPLATE_HASH,
        }
        return Note(self.name, " ".join(sentences), provenance)


def facts_of(record: Record) -> dict[str, str]:
    """What the record holds, as phrases; a fact that is not known has no entry."""
    patient = _patient(record)
    facts = {
        "class": record.class_name,
        "subclass": "" if record.subclass.lower() == record.class_name else record.subclass,
        "malignancy": record.malignancy,
        "description": _sentence(record.description),
        "patient": patient,
        "Patient": patient[:1].upper() + patient[1:],
        "place": PLACES.get(record.site, f"on the {record.site}") if record.site else "",
        "tone": _tone(record.skin_tone),
        "confirmation": record.confirmation,
    }
    return {name: phrase for name, phrase in facts.items() if phrase}


def _choose(name: str, wordings: Wordings, facts: dict[str, str], key: str) -> tuple[int, int, str] | None:
    """(group, number, wording) for the first group whose facts are known; None if there is none."""
    for group, (needed, variants) in enumerate(wordings):
        if all(fact in facts for fact in needed):
            digest = hashlib.blake2b(f"{name}:{key}".encode(), digest_size=8).digest()
            number = int.from_bytes(digest, "big") % len(variants)
            return group, number, variants[number]
    return None


def _patient(record: Record) -> str:
    """ "an 80-year-old woman" needs an age to tell women from girls, so: "an 80-year-old female patient"."""
    if record.age is None:
        return f"a {record.sex} patient" if record.sex else ""
    age = f"{record.age:g}"
    article = "an" if age.startswith("8") or age in ("11", "18") else "a"
    return (
        f"{article} {age}-year-old {record.sex} patient"
        if record.sex
        else f"{article} {age}-year-old patient"
    )


def _tone(grade: str) -> str:
    """Digits are Fitzpatrick types; a source with another scale says so itself ("class 3")."""
    if not grade:
        return ""
    return f"Fitzpatrick type {ROMAN[grade]}" if grade in ROMAN else f"tone {grade}"


def _sentence(text: str) -> str:
    """`text` with a capital at the start and a stop at the end, on one line."""
    text = " ".join(text.split())
    if text in ("", "-"):
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
