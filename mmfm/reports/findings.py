"""The numbers a reader looks for first, picked from all results: headline values, overview, shift drops.

The terminal and the report show the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmfm.evaluation.results import ALL, IMAGE_TO_NOTE, Result, Slice
from mmfm.evaluation.suitefile import SuiteFile
from mmfm.reports.runs import Run
from mmfm.reports.suites import slice_order

BALANCED = "balanced_accuracy"
RECALL_AT = 10
MAIN_RETRIEVAL = f"recall_at_{RECALL_AT}"
HEADLINES = ((BALANCED, ""), (MAIN_RETRIEVAL, IMAGE_TO_NOTE))  # metric and direction


@dataclass(frozen=True)
class Found:
    """A result and where it comes from."""

    run: Run
    suite: SuiteFile
    result: Result


@dataclass(frozen=True)
class Drop:
    """Loss of balanced accuracy from the sets trained on to a shifted one, with its 95% interval."""

    run: Run
    suite: SuiteFile
    inside: Result
    outside: Result
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Column:
    """One column of the overview: a metric of a suite, by slice."""

    title: str
    run: Run
    suite: SuiteFile
    cells: dict[Slice, Result]


def is_main(result: Result) -> bool:
    """Whether a result belongs to the few that are shown first."""
    return result.metric in (BALANCED, MAIN_RETRIEVAL)


def headline(runs: list[Run], suite: str, metric: str, direction: str = "") -> Found | None:
    """The in-domain value of a metric: over all sets trained on, or on the largest of them."""
    found = [
        Found(run, each, result)
        for run in runs
        for each in run.suites
        for result in each.outcome.results
        if each.name == suite and result.metric == metric and result.direction == direction
        if not result.slice.shift
    ]
    return max(found, key=lambda f: (f.result.slice.dataset == ALL, f.result.n), default=None)


def headlines(runs: list[Run]) -> list[Found]:
    """For each run and suite the in-domain value of its headline metric, then its values under shift."""
    found = []
    for run in runs:
        for suite in run.suites:
            for metric, direction in HEADLINES:
                inside = headline([run], suite.name, metric, direction)
                found += [inside] if inside is not None else []
                found += [
                    Found(run, suite, result)
                    for result in suite.outcome.results
                    if (result.metric, result.direction) == (metric, direction) and result.slice.shift
                ]
    return found


def drops(runs: list[Run]) -> list[Drop]:
    """Every change of balanced accuracy under domain shift, the largest drop first."""
    found = [
        _drop(run, suite, inside.result, result)
        for run in runs
        for suite in run.suites
        if (inside := headline([run], suite.name, BALANCED)) is not None
        for result in suite.outcome.results
        if result.metric == BALANCED and result.slice.shift
    ]
    return sorted(found, key=lambda drop: drop.value)


def overview(runs: list[Run]) -> tuple[list[Slice], list[Column]]:
    """Main metrics side by side: the slices, in-domain first, and a column for each suite and direction."""
    columns = []
    for run in runs:
        for suite in run.suites:
            kinds = dict.fromkeys((r.metric, r.direction) for r in suite.outcome.results if is_main(r))
            for metric, direction in kinds:
                cells = {
                    r.slice: r
                    for r in suite.outcome.results
                    if r.metric == metric and r.direction == direction
                }
                columns.append(Column(direction or suite.title, run, suite, cells))
    slices = sorted({part for column in columns for part in column.cells}, key=slice_order)
    return slices, columns


def _drop(run: Run, suite: SuiteFile, inside: Result, outside: Result) -> Drop:
    """Outside minus inside. The interval joins those of two independent samples (MOVER, square-and-add)."""
    value = outside.value - inside.value
    low = value - math.hypot(outside.value - outside.low, inside.high - inside.value)
    high = value + math.hypot(outside.high - outside.value, inside.value - inside.low)
    return Drop(run, suite, inside, outside, value, low, high)
