"""The score cards as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_tools.notes.audit.cards import ScoreCard
from data_tools.notes.audit.report.tables import cell, interval, means, percent

COLUMNS = ("number", "refused", "95%")


def print_cards(cards: Sequence[ScoreCard], console: Console | None = None) -> None:
    """Print a row for each note name: how many, refused, mean scores, kinds of finding, commonest first."""
    table = Table("notes", title="Audit of notes", title_justify="left", title_style="bold")
    scores = means(cards)
    for column in (*COLUMNS, *(name.replace("_", " ") for name in scores)):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("findings", overflow="fold")
    for card in cards:
        values = [cell(card.all, name).text for name in scores]
        bounds = escape(f"[{interval(card.all.refused)}]")
        table.add_row(
            card.name, f"{card.all.notes:,}", percent(card.all.refused.value), bounds, *values, _found(card)
        )
    (console or Console()).print(table)


def _found(card: ScoreCard) -> str:
    ordered = sorted(card.all.findings.items(), key=lambda item: -item[1].count)
    return ", ".join(f"{kind.replace('_', ' ')} {percent(share.value)}" for kind, share in ordered) or "–"
