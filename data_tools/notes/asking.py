"""What a recipe asks of language models: for each note name a writer, for each lesion a prompt and a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data_tools.config import ShardsConfig, WriterConfig
from data_tools.notes.examples import StyleExamples
from data_tools.notes.keys import FileDigests, model_identity, note_key
from data_tools.notes.registry import DEFAULT_WRITER, STRATEGIES, strategy_of
from data_tools.notes.store import DIGESTS
from data_tools.notes.strategy import NoteStrategy, Prompt, Settings
from mmfm.errors import ConfigError
from mmfm.records import Record

PRIMED = "K"  # the strategy that is shown examples of style


@dataclass(frozen=True)
class Asked:
    """Notes that a language model writes."""

    name: str  # of the notes: STRATEGY or STRATEGY-WRITER
    strategy: NoteStrategy
    writer_name: str
    writer: WriterConfig


@dataclass(frozen=True, slots=True)
class Question:
    """One note of one lesion."""

    asked: Asked
    number: int  # of the sample
    key: str  # of the note in the store


def asked_notes(cfg: ShardsConfig, to_write: bool = True) -> list[Asked]:
    """The notes of a recipe that language models write.

    Raises `ConfigError` for a name that is none, for a writer that the recipe does not have, and, if they are
    `to_write`, for one without a model. What `default` would be asked can be seen without either.
    """
    found = []
    for name in dict.fromkeys(cfg.notes):
        strategy, writer_name = strategy_of(name)
        if not writer_name:
            continue
        known = writer_name in cfg.writers
        if not known and (to_write or writer_name != DEFAULT_WRITER):
            there = f"the recipe has {', '.join(cfg.writers)}" if cfg.writers else "the recipe has no writers"
            raise ConfigError(
                f"note {name!r} is written by the writer {writer_name!r}, but {there}: say "
                f"writers.{writer_name}.backend=server or local, and writers.{writer_name}.model=MODEL"
            )
        writer = cfg.writers[writer_name] if known else WriterConfig()
        if to_write and not writer.model:
            raise ConfigError(
                f"writers.{writer_name}.model is not set: the name that the server gives the model, or the "
                "folder of a local one"
            )
        found.append(Asked(name, strategy, writer_name, writer))
    return found


class Questions:
    """All questions of a recipe about its samples, and what is asked for each.

    Prompts are pure functions of the recipe and the records, so they are made when they are needed, not kept.
    """

    def __init__(
        self, cfg: ShardsConfig, samples: Sequence[tuple[Record, Path]], to_write: bool = True
    ) -> None:
        self.cfg = cfg
        self.samples = samples
        self.asked = asked_notes(cfg, to_write)
        self._examples = StyleExamples(cfg.graph, [record for record, _ in samples], self._plain)

    def prompt(self, asked: Asked, number: int) -> Prompt:
        """What the writer is asked about a sample."""
        record, _ = self.samples[number]
        examples = self._examples.of(record) if asked.strategy.name == PRIMED else ()
        return asked.strategy.prompt(record, Settings(asked.writer.max_words, self.cfg.graph, examples))

    def __len__(self) -> int:
        return len(self.samples) * len(self.asked)

    def __iter__(self) -> Iterator[Question]:
        """Every question: writer by writer, then lesion by lesion. Reads the pictures that are new."""
        return self.about(range(len(self.samples)))

    def about(self, numbers: Sequence[int]) -> Iterator[Question]:
        """The questions about some samples."""
        images = self._digests.of([self.samples[number][1] for number in numbers]) if self.asked else []
        models = self.models
        for writer_name in dict.fromkeys(asked.writer_name for asked in self.asked):
            for number, image in zip(numbers, images, strict=False):
                for asked in self.asked:
                    if asked.writer_name == writer_name:
                        prompt, model = self.prompt(asked, number), models[writer_name]
                        key = note_key(image, prompt, model, asked.writer, self.cfg.prepare)
                        yield Question(asked, number, key)

    @cached_property
    def _digests(self) -> FileDigests:
        return FileDigests(Path(self.cfg.store) / DIGESTS)

    @cached_property
    def models(self) -> Mapping[str, str]:
        """What tells the model of each writer from others."""
        return {
            asked.writer_name: model_identity(asked.writer_name, asked.writer, self._digests)
            for asked in self.asked
        }

    def _plain(self, record: Record) -> str:
        """The note that templates write for a lesion, as an example of style."""
        return STRATEGIES[PRIMED].write(record, Settings(graph=self.cfg.graph)).text
