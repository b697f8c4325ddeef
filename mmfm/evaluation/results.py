"""The outcome of a suite: what `evals/step_XXXXXXXX/<suite>.json` holds, and its table."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mmfm.errors import DataError
from mmfm.evaluation.bootstrap import Estimate

ALL = "all"  # dataset and domain of the slice that joins all in-domain slices
COUNTED_IN_ITEMS = "median_rank"  # every other metric is a share, shown in percent


@dataclass(frozen=True)
class Slice:
    """What a result was measured on. `shift`: the training split has no sample of this dataset and domain."""

    dataset: str
    domain: str
    shift: bool

    @property
    def name(self) -> str:
        """For people: "ham10000 dermoscopic"."""
        return "all in-domain" if self.dataset == ALL else f"{self.dataset} {self.domain}"


@dataclass(frozen=True)
class Result:
    """One number with its 95% interval.

    `n` samples (or queries) in `groups` independent groups. `classes`: classes with samples in the slice.
    `chance`: what guessing would score. `pool`: items searched. `direction`: of the search.
    """

    metric: str
    label: str
    slice: Slice
    n: int
    groups: int
    classes: int
    value: float
    low: float
    high: float
    chance: float
    direction: str = ""
    pool: int = 0

    @classmethod
    def of(cls, estimate: Estimate, **fields: Any) -> Result:
        """A result whose value and interval are those of `estimate`."""
        return cls(value=estimate.value, low=estimate.low, high=estimate.high, **fields)


@dataclass(frozen=True)
class Confusion:
    """Counts by true (rows) and predicted (columns) class code."""

    slice: Slice
    classes: list[str]
    counts: list[list[int]]


@dataclass(frozen=True)
class Item:
    """An image+note pair of the gallery. `image`: data URI of a small JPEG."""

    key: str
    class_code: str
    note: str
    image: str

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary; `class` is a reserved word in Python only."""
        return {"key": self.key, "class": self.class_code, "note": self.note, "image": self.image}


@dataclass(frozen=True)
class Hit:
    """An item found. `relevant`: of the query's class. `own`: its note is that of the query."""

    rank: int
    item: Item
    score: float
    relevant: bool
    own: bool

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary."""
        marks = {"score": self.score, "relevant": self.relevant, "own": self.own}
        return {"rank": self.rank, **self.item.to_json(), **marks}


@dataclass(frozen=True)
class Example:
    """One query of the gallery and its best hits."""

    direction: str
    slice: Slice
    query: Item
    hits: list[Hit]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary."""
        return {
            "direction": self.direction,
            "slice": asdict(self.slice),
            "query": self.query.to_json(),
            "hits": [hit.to_json() for hit in self.hits],
        }


@dataclass
class Outcome:
    """What a suite measured. `details`: what one needs to know to read the numbers (settings chosen)."""

    results: list[Result] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    gallery: list[Example] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary: the measured part of a suite's file."""
        return {
            "results": [asdict(result) for result in self.results],
            "confusion": [asdict(confusion) for confusion in self.confusions],
            "gallery": [example.to_json() for example in self.gallery],
            "details": self.details,
            "skipped": self.skipped,
        }


def write_outcome(path: Path, head: dict[str, Any], outcome: Outcome) -> Path:
    """Write a suite's file at once (by rename): `head` says what was measured, how and on what."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    text = json.dumps({**head, **outcome.to_json()}, indent=1, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n")
    return part.replace(path)


def read_results(path: Path) -> list[Result]:
    """The results of a suite's file. Raises `DataError` when it is missing or no such file."""
    try:
        rows = json.loads(path.read_text())["results"]
        return [Result(**{**row, "slice": Slice(**row["slice"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no result of `mmfm evaluate` ({error}): run it again") from error


def print_table(suite: str, results: list[Result], console: Console | None = None) -> None:
    """Print results with their intervals to stdout."""
    table = Table(title=suite, title_justify="left", title_style="bold")
    for column in ("Measured on", "Metric"):
        table.add_column(column)
    for column in ("n", "Value", "95% interval", "Chance"):
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        where = result.slice.name + (" (shift)" if result.slice.shift else "")
        metric = f"{result.label}, {result.direction}" if result.direction else result.label
        value, low, high, chance = (
            _show(result.metric, x) for x in (result.value, result.low, result.high, result.chance)
        )
        table.add_row(where, metric, str(result.n), value, f"{low} to {high}", chance)
    (console or Console()).print(table)


def _show(metric: str, value: float) -> str:
    return f"{value:.0f}" if metric == COUNTED_IN_ITEMS else f"{100 * value:.1f}%"
