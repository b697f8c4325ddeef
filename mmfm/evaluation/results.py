"""The outcome of a suite, to and from JSON, and its table."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mmfm.evaluation.bootstrap import Estimate

ALL = "all"  # dataset and domain of the slice that joins all in-domain slices
COUNTED_IN_ITEMS = "median_rank"  # every other metric is a share, shown in percent
IMAGE_TO_NOTE = "image to note"
NOTE_TO_IMAGE = "note to image"
DATASETS = {
    "ham10000": "HAM10000",
    "milk10k": "MILK10k",
    "milk10k_clinic": "MILK10k clinic",
    "milk10k_dermo": "MILK10k dermo",
    "pad_ufes20": "PAD-UFES-20",
    "demo": "Demo",
    "demo_clinical": "Demo held-out",
}
DATA_URI = re.compile(r"data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/=]+\Z")


def dataset_name(dataset: str) -> str:
    """The usual spelling of a dataset's name."""
    return DATASETS.get(dataset, dataset)


@dataclass(frozen=True)
class Slice:
    """What a result was measured on. `shift`: the training split has no sample of this dataset and domain."""

    dataset: str
    domain: str
    shift: bool

    @property
    def name(self) -> str:
        """For people: "HAM10000, dermoscopic"."""
        if self.dataset == ALL:
            return "All sets trained on"
        return f"{dataset_name(self.dataset)}, {self.domain}"

    @property
    def shown(self) -> str:
        """The name with its mark: "MILK10k clinic, clinical (shift)"."""
        return f"{self.name} (shift)" if self.shift else self.name


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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """Rebuild from plain JSON. Raises `KeyError` or `TypeError` where the shape is another."""
        return cls(**{**data, "slice": Slice(**data["slice"])})


@dataclass(frozen=True)
class Confusion:
    """Counts by true (rows) and predicted (columns) class code."""

    slice: Slice
    classes: list[str]
    counts: list[list[int]]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Confusion:
        """Rebuild from plain JSON. Raises `KeyError`, `TypeError` or `ValueError` for another shape."""
        confusion = cls(**{**data, "slice": Slice(**data["slice"])})
        side = len(confusion.classes)
        if len(confusion.counts) != side or any(len(row) != side for row in confusion.counts):
            raise ValueError(f"its confusion matrix is not {side} by {side}")
        return confusion


@dataclass(frozen=True)
class Item:
    """An image+note pair of the gallery. `image`: data URI of a small JPEG, or ""."""

    key: str
    class_code: str
    note: str
    image: str

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary; `class` is a reserved word in Python only."""
        return {"key": self.key, "class": self.class_code, "note": self.note, "image": self.image}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Item:
        """Rebuild from plain JSON; an image that is no embedded picture is left out, as pages show it."""
        image = data["image"] if DATA_URI.match(data["image"]) else ""
        return cls(data["key"], data["class"], data["note"], image)


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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Hit:
        """Rebuild from plain JSON."""
        return cls(
            int(data["rank"]), Item.from_json(data), float(data["score"]), data["relevant"], data["own"]
        )


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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Example:
        """Rebuild from plain JSON."""
        hits = [Hit.from_json(hit) for hit in data["hits"]]
        return cls(data["direction"], Slice(**data["slice"]), Item.from_json(data["query"]), hits)


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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """Rebuild from plain JSON. Raises `KeyError`, `TypeError` or `ValueError` for another shape."""
        return cls(
            [Result.from_json(entry) for entry in data["results"]],
            [Confusion.from_json(entry) for entry in data["confusion"]],
            [Example.from_json(entry) for entry in data["gallery"]],
            data["details"],
            data["skipped"],
        )


def print_table(suite: str, results: list[Result], console: Console | None = None) -> None:
    """Print results with their intervals to stdout, each slice named once."""
    table = Table(title=suite, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in ("Measured on", "Metric"):
        table.add_column(column)
    for column in ("n", "Value", "95% interval", "Chance"):
        table.add_column(column, justify="right", no_wrap=True)
    before: Slice | None = None
    for result in results:
        where = "" if result.slice == before else result.slice.shown
        before = result.slice
        metric = f"{result.label}, {result.direction}" if result.direction else result.label
        value, low, high, chance = (
            _show(result.metric, x) for x in (result.value, result.low, result.high, result.chance)
        )
        table.add_row(where, metric, str(result.n), value, f"{low} to {high}", chance)
    (console or Console()).print(table)


def _show(metric: str, value: float) -> str:
    return f"{value:.0f}" if metric == COUNTED_IN_ITEMS else f"{100 * value:.1f}%"
