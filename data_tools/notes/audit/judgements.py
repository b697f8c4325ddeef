"""The judgements of a recipe's notes in the store: under which keys they lie, and which are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_tools.config import ShardsConfig
from data_tools.notes.asking import Asked, Question
from data_tools.notes.audit.judge import KEY, Judgement
from data_tools.notes.audit.truth import CONTROL
from data_tools.notes.keys import FileDigests, model_identity, note_key
from data_tools.notes.store import DIGESTS, NoteStore
from data_tools.notes.strategy import Prompt, Settings
from mmfm.config.load import require
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say, track
from mmfm.records import Record


class Judgements:
    """What the judge of a recipe is asked, note by note, as `asking.Questions` are.

    A judgement belongs to the text of its note, the prompt with the facts, the model and the decoding. The
    control R is not judged: it is dealt anew for shards, and its facts are those of another lesion by intent.
    """

    def __init__(self, cfg: ShardsConfig, records: Sequence[Record]) -> None:
        """Raises `ConfigError` where the recipe lacks the judge, its model, or a store."""
        self.judge = cfg.audit.judge
        require(cfg, "store")
        if self.judge not in cfg.writers or not cfg.writers[self.judge].model:
            there = f"the recipe has {', '.join(cfg.writers)}" if cfg.writers else "the recipe has no writers"
            raise ConfigError(
                f"audit.judge={self.judge} is not one of `writers` with a model ({there}): say "
                f"writers.{self.judge}.backend=server or local, and writers.{self.judge}.model=MODEL"
            )
        self.writer = cfg.writers[self.judge]
        self.samples = [(record, Path()) for record in records]  # no picture is shown
        self.notes = [
            (number, name)
            for number, record in enumerate(records)
            for name, note in record.notes.items()
            if name.partition("-")[0] != CONTROL and note.text.strip()
        ]
        self._model = model_identity(self.judge, self.writer, FileDigests(Path(cfg.store) / DIGESTS))

    def prompt(self, asked: Asked, number: int) -> Prompt:
        """What the judge is asked about a note of a record."""
        return asked.strategy.prompt(self.samples[number][0], Settings())

    def __len__(self) -> int:
        return len(self.notes)

    def __iter__(self) -> Iterator[Question]:
        """One question for each of `notes`, in their order."""
        for number, name in self.notes:
            note = self.samples[number][0].notes[name]
            asked = Asked(f"{KEY}-{self.judge}", Judgement(note), self.judge, self.writer)
            text = hashlib.sha256(note.text.encode(errors="replace")).hexdigest()
            key = note_key(text, self.prompt(asked, number), self._model, self.writer)
            yield Question(asked, number, key)


def with_judgements(cfg: ShardsConfig, records: Sequence[Record]) -> list[Record]:
    """The records, and beside their notes what the store has of the judge's answers. No model is asked.

    Missing ones are counted in a line. Raises `DataError` where there are none at all, `ConfigError` for a
    judge that cannot be used.
    """
    judgements = Judgements(cfg, records)
    keys = [question.key for question in track(judgements, "looking up judgements")]
    entries = NoteStore(cfg.store).get_all(keys)
    said = {key: json.loads(entry.text) for key, entry in entries.items() if not entry.failure}
    notes = [dict(record.notes) for record in records]
    for (number, name), key in zip(judgements.notes, keys, strict=True):
        if key in said:
            notes[number][name] = replace(notes[number][name], audit={KEY: said[key]})
    _tell_missing(cfg, sum(key not in said for key in keys), len(keys))
    return [replace(record, notes=own) for record, own in zip(records, notes, strict=True)]


def _tell_missing(cfg: ShardsConfig, missing: int, notes: int) -> None:
    if not missing:
        return
    message = (
        f"{cfg.store} lacks {missing} of {notes} judgements by {cfg.audit.judge}. `mmfm notes audit RECIPE "
        f"... audit.judge={cfg.audit.judge}` asks for them"
    )
    if missing == notes:
        raise DataError(f"{message}; it needs the same recipe and overrides")
    say(message)
