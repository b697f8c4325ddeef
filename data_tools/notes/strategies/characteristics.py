"""Strategy L2: the characteristics of the lesion as running text; the model is told the metadata."""

from __future__ import annotations

from data_tools.notes.strategies.asked import AskedStrategy
from data_tools.notes.strategy import Label


class Characteristics(AskedStrategy):
    """Strategy L2: type of lesion, color, definition of the border, symmetry."""

    name = "L2"
    label: Label = "given"
    told = True
