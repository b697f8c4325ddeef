"""What strategies that need no language model have in common."""

from __future__ import annotations

from data_tools.notes.strategy import Label, Prompt, Settings
from mmfm.records import Note, Record


class TemplateStrategy:
    """A strategy whose notes are put together from templates: only `write` is of use."""

    name: str
    version: str
    label: Label
    needs_model = False

    def write(self, record: Record, settings: Settings) -> Note:
        """See `NoteStrategy`."""
        raise NotImplementedError

    def prompt(self, record: Record, settings: Settings) -> Prompt:
        """No model is asked."""
        raise AssertionError(f"{self.name} is written by template")

    def read(self, answer: str, prompt: Prompt) -> str:
        """No model answers."""
        raise AssertionError(f"{self.name} is written by template")
