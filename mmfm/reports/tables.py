"""Tables and charts of a report, shaped so that the template only has to lay them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mmfm.config.flatten import flatten
from mmfm.evaluation.results import Confusion, Result, Slice
from mmfm.evaluation.suitefile import SuiteFile
from mmfm.reports.charts import line_chart
from mmfm.reports.findings import is_main
from mmfm.reports.format import percent
from mmfm.reports.runs import Run
from mmfm.reports.suites import slice_order
from mmfm.taxonomy import CODES

SETTINGS = {  # what a reader asks first; the whole config is shown below it
    "Preset": "model.preset",
    "Image tower": "model.image.name",
    "Text tower": "model.text.name",
    "Image size": "data.image_size",
    "Notes": "data.notes",
    "Steps": "train.steps",
    "Global batch": "train.global_batch",
    "Learning rate": "optim.lr",
    "Precision": "train.precision",
    "ZeRO stage": "train.zero_stage",
    "Nodes × processes": "cluster.processes",
    "Seed": "train.seed",
    "Started from": "init",
    "Classifier sees": "task.inputs",
}
CURVES = (  # key in metrics.jsonl, title, smoothed, axis from zero
    ("loss", "Loss", True, False),
    ("lr", "Learning rate", False, True),
    ("scale", "Temperature scale", False, False),
    ("grad_norm", "Gradient norm", True, True),
    ("samples_per_s", "Samples per second", True, True),
    ("data_wait_share", "Share of time waiting for data", True, True),
)

COMMIT = 12  # characters of a commit that are shown
CLASS_RECALLS = {f"recall_{code}": code for code in CODES}  # metric -> class code


@dataclass(frozen=True)
class Curve:
    """A chart with the value it ends at."""

    title: str
    last: float
    svg: Markup


@dataclass(frozen=True)
class Block:
    """The rows of one metric in one direction. `bars`: the values are shares of 1 and can be drawn."""

    label: str
    direction: str
    main: bool
    bars: bool
    rows: list[Result]


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix."""

    count: int
    share: float  # of its row
    diagonal: bool
    title: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, row by row: class, samples, cells."""

    run: Run
    suite: SuiteFile
    name: str
    shift: bool
    classes: list[str]
    rows: list[tuple[str, int, list[Cell]]]


def settings(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """Main settings: a name and one value per trained run, where at least one has it."""
    trained = [run for run in runs if run.get("train") is not None]
    rows = [(title, [_setting(run, key) for run in trained]) for title, key in SETTINGS.items()]
    return [(title, values) for title, values in rows if any(values)]


def environments(runs: list[Run]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Environments by the names of the runs that share them; entries as (name, value) text."""
    shared: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in runs:
        if run.env:
            shared.setdefault(tuple(_entries(run.env)), []).append(run.name)
    return [(", ".join(names), list(entries)) for entries, names in shared.items()]


def curves(run: Run) -> list[Curve]:
    """The training curves that a run has logged."""
    drawn = []
    for key, title, smooth, from_zero in CURVES:
        points = run.series(key)
        if points and not (key == "scale" and len({y for _, y in points}) == 1):  # a classifier has none
            drawn.append(Curve(title, points[-1][1], line_chart(points, title, smooth, from_zero)))
    return drawn


def blocks(suite: SuiteFile) -> list[Block]:
    """Results by metric and direction in file order, main metrics first, in-domain rows before shifted."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in suite.outcome.results:
        if result.metric in CLASS_RECALLS:
            continue  # one table of its own: `class_recalls`
        groups.setdefault((result.metric, result.label, result.direction), []).append(result)
    shaped = [
        Block(
            label,
            direction,
            is_main(rows[0]),
            _is_share(rows),
            sorted(rows, key=lambda row: slice_order(row.slice)),
        )
        for (_, label, direction), rows in groups.items()
    ]
    return sorted(shaped, key=lambda block: not block.main)


def class_recalls(suite: SuiteFile) -> tuple[list[Slice], list[tuple[str, list[Result | None]]]]:
    """Recall of each class: the slices, and for each class code its result in each slice."""
    found = {(r.metric, r.slice): r for r in suite.outcome.results if r.metric in CLASS_RECALLS}
    slices = sorted({part for _, part in found}, key=slice_order)
    metrics = [metric for metric in CLASS_RECALLS if any(name == metric for name, _ in found)]
    return slices, [(CLASS_RECALLS[m], [found.get((m, part)) for part in slices]) for m in metrics]


def matrices(runs: list[Run]) -> list[Matrix]:
    """Every confusion matrix, normalised by row."""
    return [
        _matrix(run, suite, confusion)
        for run in runs
        for suite in run.suites
        for confusion in sorted(suite.outcome.confusions, key=lambda each: slice_order(each.slice))
    ]


def _matrix(run: Run, suite: SuiteFile, confusion: Confusion) -> Matrix:
    rows = []
    for i, (code, counts) in enumerate(zip(confusion.classes, confusion.counts, strict=True)):
        total = sum(counts)
        cells = [
            Cell(
                n, n / total if total else 0.0, i == j, f"{n} of {total} {code} called {confusion.classes[j]}"
            )
            for j, n in enumerate(counts)
        ]
        rows.append((code, total, cells))
    return Matrix(run, suite, confusion.slice.name, confusion.slice.shift, confusion.classes, rows)


def _setting(run: Run, key: str) -> str:
    value = flatten({"model": run.model}).get(key) if key.startswith("model.") else run.get(key)
    if key == "model.text.name" and not value:
        return _shape(run.model.get("text", {}).get("config") or {})
    if key == "cluster.processes" and value is not None:
        return f"{run.get('cluster.nodes', 1)} × {value}"
    if key == "data.notes" and isinstance(value, dict):
        return ", ".join(f"{name} {percent(share / sum(value.values()))}" for name, share in value.items())
    return "" if value is None else str(value)


def _shape(text: dict[str, Any]) -> str:
    """A text tower without a name, by its architecture and size."""
    if not {"model_type", "num_hidden_layers", "hidden_size"} <= text.keys():
        return ""
    return f"{text['model_type']}, {text['num_hidden_layers']} layers of width {text['hidden_size']}"


def _is_share(rows: list[Result]) -> bool:
    return all(0 <= value <= 1 for row in rows for value in (row.value, row.low, row.high, row.chance))


def _entries(env: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is known of an environment, by names for people."""
    for key, value in flatten(env).items():
        if value in ("", None, []):
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield key.removeprefix("packages.").replace(".", " "), text[:COMMIT] if key == "git" else text
