"""Synthetic clinical notes: the strategies that write them, by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_tools.notes.metadata import MetadataTemplate
from data_tools.notes.strategy import NoteStrategy
from mmfm.errors import ConfigError
from mmfm.records import Note, Record

__all__ = ["STRATEGIES", "NoteStrategy", "write_notes"]

STRATEGIES: dict[str, NoteStrategy] = {strategy.name: strategy for strategy in (MetadataTemplate(),)}


def write_notes(record: Record, strategies: Iterable[str], image: Path | None = None) -> dict[str, Note]:
    """A note of each strategy, by its name. Raises `ConfigError` for a strategy that is not registered."""
    notes = {}
    for name in strategies:
        if name not in STRATEGIES:
            raise ConfigError(f"note strategy {name!r} is not one of {', '.join(STRATEGIES)}")
        notes[name] = STRATEGIES[name].write(record, image)
    return notes
