"""The unit of data: one image with what is known of it, and the notes written for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL

# How sources write that they do not know, in lower case.
NOT_KNOWN = (
    "", "-", "--", ".", "?", "n/a", "na", "nan", "none", "not known", "not specified", "null", "unk",
    "unknown", "unspecified",
)  # fmt: skip


@dataclass
class Note:
    """A synthetic clinical note and where it came from.

    `provenance` holds what is needed to write the note again: backend, model, template or prompt hash,
    decoding settings, version, and the facts that the writer was given. It holds no wall-clock time, so that
    the same input gives the same bytes. `audit` is what the audit found (`data_tools.notes.audit`);
    before it at most what a judge has said.
    """

    strategy: str
    text: str
    provenance: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)


@dataclass
class Record:
    """One image and its metadata, in the vocabulary of `mmfm.taxonomy`. Empty string or None: not known."""

    dataset: str
    image_id: str
    domain: str  # "dermoscopic", "clinical", "smartphone", "drawn"
    lesion_id: str = ""
    patient_id: str = ""
    label: int = UNKNOWN_LABEL  # position in taxonomy.CLASSES
    native_class: str = ""  # the source's own word for the class, where it is not that of the taxonomy
    subclass: str = ""  # as specific as the source says, in plain words
    matched_subclass: str = ""  # the one of taxonomy.SUBCLASSES that it means, where one is known
    malignancy: str = ""  # taxonomy.MALIGNANCIES
    age: float | None = None  # years
    sex: str = ""  # "male", "female"
    site: str = ""  # body site in plain words: "lower extremity"
    skin_tone: str = ""  # as the source grades it: Fitzpatrick "1".."6"
    confirmation: str = ""  # how the diagnosis was made: "histopathology", "follow-up", ...
    description: str = ""  # free description of the morphology, where the source has one
    license: str = ""
    extras: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)  # by strategy

    @property
    def class_name(self) -> str:
        """Full class name, or "" for an unknown label."""
        return CLASSES[self.label].name if self.label != UNKNOWN_LABEL else ""

    @property
    def key(self) -> str:
        """Key of the sample in its shard: unique over datasets, without the dots that tar keys cut at."""
        return f"{self.dataset}-{self.image_id}".replace(".", "_").replace("/", "_")

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for `key.json`; the inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Rebuild a record from `to_json`. Raises `TypeError` on unknown or missing fields."""
        notes = {name: Note(**note) for name, note in data.get("notes", {}).items()}
        return cls(**{**data, "notes": notes})
