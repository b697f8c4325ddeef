"""What strategies that ask a language model have in common."""

from __future__ import annotations

import hashlib
from typing import Any

from data_tools.notes.facts import NAMES, given, tone_of
from data_tools.notes.prompts import render
from data_tools.notes.strategies.answers import plain_text
from data_tools.notes.strategy import Label, Prompt, Settings
from mmfm.records import Note, Record


class AskedStrategy:
    """A strategy whose notes a language model writes, by the templates `NAME.vVERSION.*.j2`.

    Whether it is `told` decides what the templates see: the given facts, or of the record nothing at all.
    """

    name: str
    version = "1"
    label: Label
    needs_model = True
    told: bool
    image = True
    schema: dict[str, Any] | None = None

    def write(self, record: Record, settings: Settings) -> Note:
        """Nothing is written without a model."""
        raise AssertionError(f"{self.name} needs a language model")

    def prompt(self, record: Record, settings: Settings) -> Prompt:
        """What a model is asked; a pure function."""
        facts = self.facts(record, settings)
        context = {"max_words": settings.max_words, **self.context(record, settings, facts)}
        system, user = (render(self.name, self.version, part, context) for part in ("system", "user"))
        return Prompt(self.name, self.version, system, user, self.image, self.schema, facts)

    def read(self, answer: str, prompt: Prompt) -> str:
        """The answer as running text."""
        return plain_text(answer)

    def facts(self, record: Record, settings: Settings) -> dict[str, Any]:
        """What the writer is told of the lesion."""
        return dict(given(record)) if self.told else {}

    def context(self, record: Record, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """What the templates see beside `max_words`."""
        return {"known": blanks(facts)} if self.told else {}


def blanks(facts: dict[str, Any]) -> dict[str, str]:
    """The values of `facts.NAMES` in words for a prompt, "" for those that are not known."""
    known = {name: str(facts.get(name, "")) for name in NAMES}
    return {**known, "skin_tone": tone_of(known["skin_tone"])}


def pick(purpose: str, key: str, count: int) -> int:
    """A number below `count` that depends on the record's key alone."""
    digest = hashlib.blake2b(f"{purpose}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
