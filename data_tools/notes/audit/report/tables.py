"""The score cards as tables: note names against subgroups, or against kinds of finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.notes.audit.cards import BY, OPTIONAL, UNKNOWN, Group, ScoreCard, Share
from data_tools.notes.audit.findings import KINDS
from mmfm.evaluation.results import dataset_name
from mmfm.reports.format import MISSING
from mmfm.taxonomy import CLASSES

REFUSED = "refused"
MEANS = ("recall", "precision", *OPTIONAL)
FEW = 20  # notes below which a share says little
NAMES = [lesion.name for lesion in CLASSES]
CODES = {lesion.name: lesion.code for lesion in CLASSES}


@dataclass(frozen=True)
class Cell:
    """One number of a table: the value that colours it (None: there is none), its text, and all of it."""

    value: float | None
    text: str
    title: str
    few: bool = False


@dataclass(frozen=True)
class Table:
    """Note names (rows) against the values of a subgroup (columns: short name, full name)."""

    by: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Group | None]]]


def subgroup_tables(cards: Sequence[ScoreCard]) -> list[Table]:
    """A table for each way to group the notes that has two groups or more."""
    tables = []
    for by in BY[1:]:
        groups = {
            card.name: {group.value: group for group in card.groups if group.by == by} for card in cards
        }
        values = sorted({value for of_name in groups.values() for value in of_name}, key=_place)
        if len(values) > 1:
            rows = [(name, [of_name.get(value) for value in values]) for name, of_name in groups.items()]
            tables.append(Table(by, [(_short(by, value), value) for value in values], rows))
    return tables


def measures(cards: Sequence[ScoreCard]) -> list[str]:
    """What the tables can show: "refused", the mean scores, and the kinds of finding that there are."""
    found = {kind for card in cards for kind in card.all.findings}
    return [REFUSED, *means(cards), *(kind for kind in KINDS if kind in found)]


def means(cards: Sequence[ScoreCard]) -> list[str]:
    """The mean scores to show: the optional ones where they were asked for."""
    there = (name for name in OPTIONAL if any(getattr(card.all, name) is not None for card in cards))
    return [name for name in MEANS if name not in OPTIONAL] + list(there)


def cell(group: Group | None, measure: str) -> Cell:
    """A measure of a group of notes."""
    if group is None:
        return Cell(None, MISSING, "no such notes")
    few = group.notes < FEW
    if measure in MEANS:
        value: float | None = getattr(group, measure)
        if value is None:
            return Cell(None, MISSING, f"{group.notes} notes, nothing to count", few)
        return Cell(value, f"{value:.2f}", f"{measure} {value:.3f}, mean over {group.notes} notes", few)
    share = group.refused if measure == REFUSED else group.findings.get(measure)
    if share is None:
        return Cell(0.0, "0", f"{measure}: none of {group.notes} notes", few)
    return Cell(share.value, percent(share.value), f"{measure}: {told(share)}", few)


def all_cells(tables: Sequence[Table], names: Sequence[str]) -> dict[str, list[list[Any]]]:
    """For the page's script: by measure, [value, text, title] of every cell in the order of the page."""
    groups = [group for table in tables for _, row in table.rows for group in row]
    found = {name: [cell(group, name) for group in groups] for name in names}
    return {name: [[each.value, each.text, each.title] for each in cells] for name, cells in found.items()}


def percent(value: float) -> str:
    """A share in percent, small ones with a digit more: "0.4%", "12%"; nothing at all is "0"."""
    if value in (0, 1):
        return "100%" if value else "0"
    return f"{100 * value:.{1 if value < 0.0995 else 0}f}%"


def interval(share: Share) -> str:
    """ "8.1, 17": the ends of the interval, in percent."""
    return ", ".join(percent(end).rstrip("%") for end in (share.low, share.high))


def told(share: Share) -> str:
    """ "12% [8.1, 17], 23 of 190"."""
    return f"{percent(share.value)} [{interval(share)}], {share.count:,} of {share.total:,}"


def _place(value: str) -> tuple[bool, int, str]:
    """Classes in the order of the taxonomy, other values by name, the unknown last."""
    return value == UNKNOWN, NAMES.index(value) if value in NAMES else 0, value


def _short(by: str, value: str) -> str:
    if by == "class":
        return CODES.get(value, value)
    return dataset_name(value) if by == "dataset" else value
