"""The strategies that write notes, by name.

A note is named STRATEGY or STRATEGY-WRITER: "M", "L1", "L1-medgemma". Where a strategy needs a language
model and no writer is named, it is the recipe's writer `default`. K is written by template, unless a writer
is named.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from data_tools.notes.strategies import STRATEGIES
from data_tools.notes.strategy import NoteStrategy, Settings
from mmfm.errors import ConfigError
from mmfm.records import Note, Record

__all__ = ["DEFAULT_WRITER", "STRATEGIES", "NoteStrategy", "strategy_of", "write_notes"]

DEFAULT_WRITER = "default"
TEMPLATE_ONLY = ("M", "R")  # no model can be asked for these


def strategy_of(note_name: str) -> tuple[NoteStrategy, str]:
    """The strategy of a note, and the name of the writer; "" where it is written by template.

    Raises `ConfigError` for an unknown strategy, and for a writer where none can be asked.
    """
    name, dash, writer = note_name.partition("-")
    if name not in STRATEGIES:
        close = difflib.get_close_matches(name.upper(), STRATEGIES, n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]}{dash}{writer}?" if close else ""
        known = ", ".join(STRATEGIES)
        raise ConfigError(f"note {note_name!r}: {name!r} is not a strategy; those are {known}.{hint}")
    strategy = STRATEGIES[name]
    if dash and not writer:
        raise ConfigError(f"note {note_name!r}: the name of a writer is missing after the dash")
    if writer and name in TEMPLATE_ONLY:
        raise ConfigError(f"note {note_name!r}: {name} is written without a language model; write {name}")
    return strategy, writer or (DEFAULT_WRITER if strategy.needs_model else "")


def write_notes(record: Record, names: Iterable[str], settings: Settings | None = None) -> dict[str, Note]:
    """The notes of `names` that are written by template, by name. Those of models, and R, are left out.

    Raises `ConfigError` as `strategy_of`.
    """
    notes = {}
    for name in names:
        strategy, writer = strategy_of(name)
        if not writer and strategy.name != "R":
            notes[name] = strategy.write(record, settings or Settings())
    return notes
