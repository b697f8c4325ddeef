"""The audit measured: notes with known errors, and how many of them it finds, by kind."""

from data_tools.notes.audit.planted.build import HALVES, Planted, planted_notes
from data_tools.notes.audit.planted.measure import ALL, Measured, format, measure

__all__ = ["ALL", "HALVES", "Measured", "Planted", "format", "measure", "planted_notes"]
