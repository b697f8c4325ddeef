"""The strategies of notes, a module for each family, and the table of them all."""

from __future__ import annotations

from data_tools.notes.strategies.captions import (
    BlindCaption,
    BlindDescription,
    InformedCaption,
    InformedDescription,
)
from data_tools.notes.strategies.characteristics import Characteristics
from data_tools.notes.strategies.metadata import MetadataTemplate
from data_tools.notes.strategies.primed import PrimedNote
from data_tools.notes.strategies.shuffled import ShuffledNote
from data_tools.notes.strategies.structured import StructuredReport
from data_tools.notes.strategies.unaided import UnaidedReport
from data_tools.notes.strategy import NoteStrategy

__all__ = ["STRATEGIES"]

ALL: tuple[NoteStrategy, ...] = (
    MetadataTemplate(),
    StructuredReport(),
    Characteristics(),
    UnaidedReport(),
    InformedDescription(),
    BlindDescription(),
    InformedCaption(),
    BlindCaption(),
    PrimedNote(),
    ShuffledNote(),
)
STRATEGIES: dict[str, NoteStrategy] = {strategy.name: strategy for strategy in ALL}
