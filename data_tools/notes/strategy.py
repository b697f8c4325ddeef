"""What a note strategy is. Strategies that call a language model implement the same."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mmfm.records import Note, Record


class NoteStrategy(Protocol):
    """A way to write a clinical note for a record.

    `version` changes whenever the same record would get another note; it is part of the provenance.
    """

    @property
    def name(self) -> str:
        """Short name, the key of the note in `Record.notes`."""

    @property
    def version(self) -> str:
        """Version of the wording or of the prompt."""

    def write(self, record: Record, image: Path | None = None) -> Note:
        """The note of `record`. `image` is its picture, for strategies that look at it."""
