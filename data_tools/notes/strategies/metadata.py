"""Strategy M: a note from the metadata alone, by templates.

Three to five sentences: diagnosis with malignancy and subclass, other names of it, the description if there
is one, the patient with the site, then skin tone and confirmation. A sentence says only what the record holds
and falls away when it would hold nothing. Each comes in a few wordings; which one is a hash of the record's
key.
"""

from __future__ import annotations

from data_tools.notes.facts import facts_of
from data_tools.notes.strategies.template import TemplateStrategy
from data_tools.notes.strategies.wordings import Sentences, Wordings, compose, hash_of
from data_tools.notes.strategy import Label, Settings
from mmfm.records import Note, Record

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
NAMING: Wordings = (
    (
        ("native_class", "matched_subclass"),
        (
            "The source names it {native_class}; it falls under {matched_subclass}.",
            "Recorded by its source as {native_class} and grouped under {matched_subclass}.",
            "In the words of the source: {native_class}; it belongs to the group of {matched_subclass}.",
        ),
    ),
    (
        ("native_class",),
        (
            "The source names it {native_class}.",
            "Recorded by its source as {native_class}.",
            "In the words of the source: {native_class}.",
        ),
    ),
    (
        ("matched_subclass",),
        (
            "It falls under {matched_subclass}.",
            "Grouped under {matched_subclass}.",
            "It belongs to the group of {matched_subclass}.",
        ),
    ),
)
DESCRIPTION: Wordings = (
    (
        ("description",),
        (
            "{description}",
            "Description: {description}",
            "As described: {description}",
            "Described as follows: {description}",
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
SENTENCES: Sentences = (
    ("diagnosis", DIAGNOSIS),
    ("naming", NAMING),
    ("description", DESCRIPTION),
    ("patient", PATIENT),
    ("background", BACKGROUND),
)
TEMPLATE_HASH = hash_of(SENTENCES)


class MetadataTemplate(TemplateStrategy):
    """Strategy M."""

    name = "M"
    version = "3"
    label: Label = "given"

    def write(self, record: Record, settings: Settings) -> Note:
        """The note of `record`; a pure function of it."""
        text, choices = compose(SENTENCES, facts_of(record), record.key)
        provenance = {
            "backend": "template",
            "version": self.version,
            "template": choices,
            "template_hash": TEMPLATE_HASH,
        }
        return Note(self.name, text, provenance)
