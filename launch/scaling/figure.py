"""The picture of a scaling benchmark: speed, efficiency, times to the first step, what training waits for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from launch.scaling.measures import Measured, Scaling, shown
from mmfm.reports import figure
from mmfm.reports.charts import Axes, Points, nice_ticks
from mmfm.reports.format import compact

WIDTH, HEIGHT = 920, 616
LEFT, MIDDLE, GAP = figure.MARGIN + 40, WIDTH / 2, 44
UPPER, LOWER = (120.0, 310.0), (404.0, 574.0)  # top and bottom of the two rows of plots
BAR = 22  # width of a bar in user units


def draw(scaling: Scaling) -> str:
    """The text of the SVG file."""
    runs = scaling.runs
    rule = "the batch of each process stays" if scaling.mode == "weak" else "the global batch stays"
    subtitle = (
        f"{scaling.recipe}, {scaling.mode} scaling ({rule}), {scaling.date}. Sizes: nodes x processes on each"
    )
    parts = [_speed(runs), _efficiency(scaling), _first_steps(runs), _waits(runs)]
    return figure.document(WIDTH, HEIGHT, "Scaling", subtitle, parts)


def _speed(runs: Sequence[Measured]) -> Markup:
    """Samples per second, and what the smallest run would give at full efficiency."""
    points = _points(runs, [run.samples_per_s for run in runs])
    best = next((run.per_process for run in runs if run.per_process), None)
    ideal = _points(runs, [best and best * run.size.world for run in runs])
    ticks = nice_ticks(0.0, max([y for _, y in [*points, *ideal]], default=1.0))
    axes = _axes(runs, 0, UPPER, ticks)
    labels = [figure.text(axes.x(x), axes.y(y) + 20, compact(round(y, 1)), "", "middle") for x, y in points]
    return Markup("").join(
        (
            figure.plot(axes, "Samples per second", _sizes(runs), _labels(ticks)),
            figure.legend(axes.right, axes.top - 16, [("a", "measured"), ("c dashed", "ideal")]),
            figure.line(axes, ideal, "c dashed"),
            figure.line(axes, points, "a"),
            figure.dots(axes, points, "a"),
            *labels,
        )
    )


def _efficiency(scaling: Scaling) -> Markup:
    points = _points(scaling.runs, [scaling.efficiency(run) for run in scaling.runs])
    ticks = nice_ticks(0.0, max([1.0, *(y for _, y in points)]))
    axes = _axes(scaling.runs, 1, UPPER, ticks)
    labels = [figure.text(axes.x(x), axes.y(y) + 20, f"{100 * y:.0f}%", "", "middle") for x, y in points]
    named = [(tick, f"{100 * tick:.0f}%") for tick in ticks]
    return Markup("").join(
        (
            figure.plot(axes, "Efficiency of each process", _sizes(scaling.runs), named),
            figure.line(axes, points, "a"),
            figure.dots(axes, points, "a"),
            *labels,
        )
    )


def _first_steps(runs: Sequence[Measured]) -> Markup:
    """Bars: from submission, the time in the queue below; from requeueing beside it."""
    known = [
        value for run in runs for value in (run.submit_seconds, run.requeue_seconds) if value is not None
    ]
    ticks = nice_ticks(0.0, 1.1 * max(known, default=1.0))  # room for a number above the highest
    axes = _axes(runs, 0, LOWER, ticks)
    parts = [
        figure.plot(axes, "Seconds to first step", _sizes(runs), _labels(ticks)),
        figure.legend(
            axes.right, axes.top - 16, [("c wide", "queue"), ("a wide", "start"), ("b wide", "requeue")]
        ),
    ]
    for x, run in enumerate(runs):
        place = axes.x(x)
        if run.submit_seconds is not None:
            queued = run.queue_seconds or 0.0
            left, right = place - BAR - 2, place - 2
            parts.append(figure.rectangle(left, axes.y(run.submit_seconds), right, axes.y(queued), "a"))
            parts.append(figure.rectangle(left, axes.y(queued), right, axes.bottom, "c"))
            parts.append(_bar_label(axes, (left + right) / 2, run.submit_seconds))
        if run.requeue_seconds is not None:
            left, right = place + 2, place + BAR + 2
            parts.append(figure.rectangle(left, axes.y(run.requeue_seconds), right, axes.bottom, "b"))
            parts.append(_bar_label(axes, (left + right) / 2, run.requeue_seconds))
    return Markup("").join(parts)


def _waits(runs: Sequence[Measured]) -> Markup:
    """A table of what keeps training from computing."""
    head = ("nodes x each", "data wait", "all-reduce", "GB/s", "save")
    rows = [
        (
            str(run.size),
            "-" if run.data_wait_share is None else f"{100 * run.data_wait_share:.1f}%",
            "-" if run.allreduce_ms is None else f"{run.allreduce_ms:.1f} ms",
            shown(run.allreduce_gbps, digits=2),
            "-" if run.save_seconds is None else f"{run.save_seconds:.2f} s",
        )
        for run in runs
    ]
    left = MIDDLE + GAP - 12
    return figure.text(left, LOWER[0] - 16, "What training waits for", "head") + figure.table(
        left, LOWER[0] + 14, (84, 82, 92, 66, 76), [head, *rows]
    )


def _axes(runs: Sequence[Measured], column: int, row: tuple[float, float], ticks: Sequence[float]) -> Axes:
    left = LEFT if column == 0 else MIDDLE + GAP + 24
    right = MIDDLE - 16 if column == 0 else WIDTH - figure.MARGIN
    return Axes(-0.5, len(runs) - 0.5, ticks[0], ticks[-1], left, right, *row)


def _sizes(runs: Sequence[Measured]) -> figure.Ticks:
    return [(x, str(run.size)) for x, run in enumerate(runs)]


def _labels(ticks: Sequence[float]) -> figure.Ticks:
    return [(tick, compact(tick)) for tick in ticks]


def _points(runs: Sequence[Measured], values: Sequence[float | None]) -> Points:
    return [(float(x), y) for x, y in enumerate(values) if y is not None and math.isfinite(y)]


def _bar_label(axes: Axes, x: float, seconds: float) -> Markup:
    return figure.text(x, axes.y(seconds) - 6, f"{seconds:.0f}", "", "middle")
