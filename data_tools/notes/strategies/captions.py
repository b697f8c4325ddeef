"""Strategies S1 and S2, D1 and D2: what two published captioners are asked, with the metadata and without.

S1 and S2 put an open question, as SkinGPT-4 is asked (Zhou et al., Nat Commun 2024;15:5649); D1 and D2 want
one dense sentence, like the captions that DermLIP learnt from (Yan et al., Derm1M, ICCV 2025).
"""

from __future__ import annotations

from typing import Any

from data_tools.notes.strategies.asked import AskedStrategy, pick
from data_tools.notes.strategy import Label, Settings
from mmfm.records import Record

NUMBERS = 2**32  # of which one is drawn for a record; the template makes a question of it


class OpenQuestion(AskedStrategy):
    """Strategies S1 and S2: one of some open questions, chosen by the record's key."""

    def context(self, record: Record, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts, where they are told, and the number of the question."""
        number = pick("question", record.key, NUMBERS)
        return {**super().context(record, settings, facts), "number": number}


class InformedDescription(OpenQuestion):
    """Strategy S1."""

    name = "S1"
    label: Label = "given"
    told = True


class BlindDescription(OpenQuestion):
    """Strategy S2: it names no diagnosis."""

    name = "S2"
    label: Label = "hidden"
    told = False


class InformedCaption(AskedStrategy):
    """Strategy D1: a sentence that ends with the given diagnosis."""

    name = "D1"
    label: Label = "given"
    told = True


class BlindCaption(AskedStrategy):
    """Strategy D2: a sentence that ends with the likeliest diagnosis."""

    name = "D2"
    label: Label = "guessed"
    told = False
