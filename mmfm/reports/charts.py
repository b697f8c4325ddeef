"""Line charts as inline SVG. Colours come from the page's CSS, so that they follow light and dark."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from mmfm.reports.format import TINY, compact

WIDTH, HEIGHT = 360, 190  # user units; the page shows a chart at about this size at any screen width
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 26
MAX_POINTS = 200  # longer series are averaged in bins
HOVERS = 50  # places that answer the pointer with a value
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """Ranges of a chart in data units, and their place in user units."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    def x(self, value: float) -> float:
        """Place of a step."""
        share = (value - self.x_low) / ((self.x_high - self.x_low) or 1.0)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        """Place of a value; up is more."""
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1.0)
        return self.bottom - share * (self.bottom - self.top)

    def path(self, points: Points) -> str:
        """The `d` of a path through the points."""
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)


def line_chart(points: Points, name: str, smooth: bool = False, from_zero: bool = False) -> Markup:
    """SVG of (step, value) points. `smooth` draws a running mean over the faint raw line."""
    assert points, "an empty series has no chart"
    points = _thin(points)
    values = [y for _, y in points]
    y_ticks = nice_ticks(min(0.0, *values) if from_zero else min(values), max(values))
    x_ticks = [tick for tick in nice_ticks(points[0][0], points[-1][0]) if tick <= points[-1][0]]
    axes = Axes(points[0][0], points[-1][0], y_ticks[0], y_ticks[-1])
    raw = axes.path(points)
    lines = f'<path class="raw" d="{raw}"/>' if smooth else ""
    lines += f'<path class="line" d="{axes.path(running_mean(points)) if smooth else raw}"/>'
    if len(points) == 1:
        lines = f'<circle class="end" cx="{axes.x(points[0][0]):.1f}" cy="{axes.y(values[0]):.1f}" r="3"/>'
    label = f"{name}: {compact(values[0])} at step {points[0][0]:.0f}, {compact(values[-1])} at the end"
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{_grid(axes, x_ticks, y_ticks)}{lines}{_hovers(points, axes)}</svg>"
    )


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that cover [low, high], about `about` steps apart."""
    if high - low < TINY:
        high = low + (abs(low) * 0.1 or 1.0)
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def running_mean(points: Points) -> Points:
    """Centred mean over a tenth of the series, shorter at its ends."""
    reach = max(1, len(points) // 20)
    values = np.array([y for _, y in points])
    return [(x, float(values[max(0, i - reach) : i + reach + 1].mean())) for i, (x, _) in enumerate(points)]


def _thin(points: Points) -> Points:
    if len(points) <= MAX_POINTS:
        return points
    bins = np.array_split(np.array(points), MAX_POINTS)
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in bins]


def _grid(axes: Axes, x_ticks: list[float], y_ticks: list[float]) -> str:
    parts = []
    for tick in y_ticks:
        y = axes.y(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{compact(tick)}</text>'
        )
    for tick in x_ticks:
        if tick < axes.x_low or not tick.is_integer():
            continue  # there is no step 2.5
        x = axes.x(tick)
        anchor = "end" if x > WIDTH - 30 else "middle"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{compact(tick)}</text>'
        )
    return "".join(parts)


def _hovers(points: Points, axes: Axes) -> str:
    """Invisible bands whose native tooltip tells the value: no script is needed."""
    picks = [points[i] for i in np.unique(np.linspace(0, len(points) - 1, HOVERS).round().astype(int))]
    width = (WIDTH - LEFT - RIGHT) / len(picks)
    return "".join(
        f'<g class="hover"><rect x="{axes.x(x) - width / 2:.1f}" y="{TOP}" width="{width:.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/><circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3.5"/>'
        f"<title>step {x:.0f}: {compact(y)}</title></g>"
        for x, y in picks
    )
