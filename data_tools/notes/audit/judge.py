"""A language model as a judge: whether the given facts support a note, as a writer of the recipe answers.

`mmfm notes audit` asks (`judging`). The answers lie in the store of the notes, and whoever packs takes from
there what there is (`judgements`): beside the note, as `Note.audit["judge"]`, of which the audit makes a
finding and a score.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from data_tools.notes.audit.findings import Finding
from data_tools.notes.audit.truth import drawn_facts
from data_tools.notes.facts import given
from data_tools.notes.prompts import render
from data_tools.notes.strategies.answers import json_object, list_of, words_of
from data_tools.notes.strategies.asked import blanks
from data_tools.notes.strategy import Label, Prompt, Settings, UnusableAnswerError
from mmfm.records import Note, Record

KEY = "judge"  # of `Note.audit`, and the kind of the finding
KEYS = ("supported", "contradictions", "why")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "supported": {"type": "boolean"},
        "contradictions": {"type": "array", "items": {"type": "string"}},
        "why": {"type": "string"},
    },
    "required": list(KEYS),
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Judgement:
    """What a judge is asked about `note`, as a strategy asks for one, and how the answer is read."""

    note: Note
    name: str = KEY
    version: str = "1"
    label: Label = "given"
    needs_model: bool = True

    def write(self, record: Record, settings: Settings) -> Note:
        """Nothing is judged without a model."""
        raise AssertionError("a judge is a language model")

    def prompt(self, record: Record, settings: Settings) -> Prompt:
        """What is asked: a pure function of the record, the note's text and what its writer was told."""
        facts, text = given(record), " ".join(self.note.text.split())
        context = {"known": blanks(facts), "further": drawn_facts(self.note), "note": text}
        system, user = (render(self.name, self.version, part, context) for part in ("system", "user"))
        return Prompt(self.name, self.version, system, user, False, SCHEMA, dict(facts))

    def read(self, answer: str, prompt: Prompt) -> str:
        """The answer in one form, as JSON with `KEYS`. Raises `UnusableAnswerError` for any other answer."""
        values = json_object(answer, KEYS)
        if values is None:
            raise UnusableAnswerError("the answer is no JSON object")
        if not isinstance(values["supported"], bool):
            raise UnusableAnswerError("supported is neither true nor false")
        said = {
            "supported": values["supported"],
            "contradictions": [one for one in list_of(values["contradictions"], "contradictions") if one],
            "why": words_of(values["why"], "why"),
        }
        return json.dumps(said, ensure_ascii=False)


def check_judgement(note: Note) -> tuple[list[Finding], dict[str, float]]:
    """The finding and the score of what a judge has said of a note; none where it was not asked.

    A note is supported where the judge says so and names no contradiction. The finding is placed at the first
    contradiction that it copied from the note.
    """
    said = note.audit.get(KEY)
    if not said:
        return [], {}
    if said["supported"] and not said["contradictions"]:
        return [], {"supported": 1.0}
    detail = said["why"] or "; ".join(said["contradictions"]) or "not supported by the given facts"
    for words in said["contradictions"]:
        start = note.text.find(words)
        if start >= 0:
            return [Finding(KEY, detail, start, start + len(words))], {"supported": 0.0}
    return [Finding(KEY, detail)], {"supported": 0.0}
