"""The score cards as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_tools.notes.audit.cards import OPTIONAL, ScoreCard
from data_tools.notes.audit.report.tables import cell, interval, means, percent

COLUMNS = ("number", "refused", "95%", "recall", "precision")


def print_cards(cards: Sequence[ScoreCard], console: Console | None = None) -> None:
    """Print a row for each note name: how many, refused, mean scores, kinds of finding, commonest first."""
    table = Table("notes", title="Audit of notes", title_justify="left", title_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("findings", overflow="fold")
    for card in cards:
        scores = [cell(card.all, name).text for name in ("recall", "precision")]
        bounds = escape(f"[{interval(card.all.refused)}]")
        table.add_row(
            card.name, f"{card.all.notes:,}", percent(card.all.refused.value), bounds, *scores, _found(card)
        )
    console = console or Console()
    console.print(table)
    if optional := [name for name in means(cards) if name in OPTIONAL]:
        console.print(_optional(cards, optional))


def _optional(cards: Sequence[ScoreCard], scores: Sequence[str]) -> Table:
    """The mean scores of an encoder and of a judge, by themselves: a terminal is narrow."""
    table = Table("notes")
    for name in scores:
        table.add_column(name.replace("_", " "), justify="right")
    for card in cards:
        table.add_row(card.name, *(cell(card.all, name).text for name in scores))
    return table


def _found(card: ScoreCard) -> str:
    ordered = sorted(card.all.findings.items(), key=lambda item: -item[1].count)
    return ", ".join(f"{kind.replace('_', ' ')} {percent(share.value)}" for kind, share in ordered) or "–"
