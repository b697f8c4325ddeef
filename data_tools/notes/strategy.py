"""A note strategy: what it knows of a lesion, how it asks a model, and how an answer becomes a note."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from data_tools.config import GraphConfig
from mmfm.records import Note, Record

# What a note may know of the class: it is given to the writer; the writer guesses it; it must not be told.
Label = Literal["given", "guessed", "hidden"]


class UnusableAnswerError(Exception):
    """An answer that cannot become a note; the message is the reason."""


@dataclass(frozen=True)
class Settings:
    """What strategies take from the recipe, beside the record."""

    max_words: int = 120
    graph: GraphConfig = field(default_factory=GraphConfig)
    examples: tuple[str, ...] = ()  # notes whose style is to be followed


@dataclass(frozen=True)
class Prompt:
    """What a language model is asked for one note."""

    strategy: str
    version: str  # of the template
    system: str
    user: str
    image: bool  # whether the picture is shown
    schema: dict[str, Any] | None = None  # JSON schema of the answer, where it has a form
    facts: dict[str, Any] = field(default_factory=dict)  # what the writer is told of the lesion, by name

    @property
    def digest(self) -> str:
        """Hash of all that the model is shown but for the picture, 16 hexadecimal digits."""
        shown = json.dumps([self.system, self.user, self.image, self.schema], sort_keys=True)
        return hashlib.sha256(shown.encode()).hexdigest()[:16]


class NoteStrategy(Protocol):
    """A way to get a clinical note for a record.

    `version` changes whenever the same record would get another note, or be asked for in other words.
    """

    @property
    def name(self) -> str:
        """Short name ("M", "L1"), the key of the note in `Record.notes`, before the name of a writer."""

    @property
    def version(self) -> str:
        """Version of the wording or of the prompt."""

    @property
    def label(self) -> Label:
        """What its notes may know of the class."""

    @property
    def needs_model(self) -> bool:
        """Whether a language model writes it. If not, `write` does, else `prompt` and `read`."""

    def write(self, record: Record, settings: Settings) -> Note:
        """The note of `record` by templates: a pure function. Asserts `not needs_model`."""

    def prompt(self, record: Record, settings: Settings) -> Prompt:
        """What a model is asked; a pure function. Asserts `needs_model`, or that it can be asked as well."""

    def read(self, answer: str, prompt: Prompt) -> str:
        """The text of the note from a model's answer. Raises `UnusableAnswerError` with the reason."""
