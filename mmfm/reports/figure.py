"""Figures that stand alone: SVG files of several plots, with their own colours, light and dark.

Plots inside a report's page are in `charts`; these are for documents and result files. A look is a class
of the style below: a colour (a blue-green, b orange, c grey), with `wide` or `dashed` for lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from mmfm.reports.charts import Axes, Points

MARGIN = 24  # around the figure, in user units
TITLE_Y, SUBTITLE_Y = 36, 56  # baselines of the two lines on top
Ticks = Sequence[tuple[float, str]]  # places and labels

STYLE = """
svg { --bg: #fffefb; --ink: #1d2326; --soft: #59656b; --hair: #e3e0d7; --a: #0d6a72; --b: #c05a14;
  --c: #a9b0b3; }
@media (prefers-color-scheme: dark) {
  svg { --bg: #15191b; --ink: #e9e7e1; --soft: #9aa6ab; --hair: #2c3438; --a: #5bc2c8; --b: #f0a264;
    --c: #5d686d; }
}
.bg { fill: var(--bg); }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  fill: var(--ink); font-variant-numeric: tabular-nums; }
.title { font-size: 18px; font-weight: 600; }
.head { font-size: 13px; font-weight: 600; }
.soft { fill: var(--soft); }
.grid { stroke: var(--hair); fill: none; }
.line { stroke-width: 2; fill: none; stroke-linejoin: round; }
.wide { stroke-width: 6; stroke-linecap: round; opacity: 0.75; }
.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
.line.a { stroke: var(--a); } .line.b { stroke: var(--b); } .line.c { stroke: var(--c); }
.fill.a { fill: var(--a); } .fill.b { fill: var(--b); } .fill.c { fill: var(--c); }
"""


def document(width: int, height: int, title: str, subtitle: str, parts: Sequence[Markup]) -> str:
    """The text of an SVG file with a title, a line of explanation, and `parts` below."""
    head = text(MARGIN, TITLE_Y, title, "title") + text(MARGIN, SUBTITLE_Y, subtitle, "soft")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="bg" width="{width}" height="{height}" rx="8"/>{head}{Markup("").join(parts)}</svg>\n'
    )


def plot(axes: Axes, title: str, x_ticks: Ticks, y_ticks: Ticks) -> Markup:
    """The ground of a plot: its title above, lines and labels at `y_ticks`, labels at `x_ticks`."""
    parts = [text(axes.left - 36, axes.top - 16, title, "head")]
    for value, label in y_ticks:
        y = axes.y(value)
        parts.append(Markup(f'<path class="grid" d="M{axes.left:.1f} {y:.1f}H{axes.right:.1f}"/>'))
        parts.append(text(axes.left - 7, y + 4, label, "soft", "end"))
    for value, label in x_ticks:
        parts.append(text(axes.x(value), axes.bottom + 18, label, "soft", "middle"))
    return Markup("").join(parts)


def line(axes: Axes, points: Points, look: str) -> Markup:
    """A line through the points; none without them."""
    return Markup(f'<path class="line {look}" d="{axes.path(points)}"/>') if points else Markup("")


def dots(axes: Axes, points: Points, colour: str) -> Markup:
    """A dot at each point."""
    circles = (
        f'<circle class="fill {colour}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="4"/>' for x, y in points
    )
    return Markup("".join(circles))


def rectangle(left: float, top: float, right: float, bottom: float, colour: str) -> Markup:
    """A rectangle filled in a colour, in user units."""
    size = f'width="{max(0.0, right - left):.1f}" height="{max(0.0, bottom - top):.1f}"'
    return Markup(f'<rect class="fill {colour}" x="{left:.1f}" y="{top:.1f}" {size}/>')


def upright(axes: Axes, value: float, colour: str) -> Markup:
    """A dashed line over the whole height at an x value."""
    return Markup(
        f'<path class="line dashed {colour}" d="M{axes.x(value):.1f} {axes.top:.1f}V{axes.bottom:.1f}"/>'
    )


def text(x: float, y: float, words: str, look: str = "", anchor: str = "start") -> Markup:
    """Words at a place in user units."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        look, f"{x:.1f}", f"{y:.1f}", anchor, words
    )


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> Markup:
    """(look, words) pairs in one row that ends at x, each with a stroke in its look."""
    parts = []
    for look, words in reversed(entries):
        parts.append(text(x, y, words, "soft", "end"))
        x -= 6.4 * len(words) + 14
        parts.append(Markup(f'<path class="line {look}" d="M{x - 20:.1f} {y - 4:.1f}H{x:.1f}"/>'))
        x -= 36
    return Markup("").join(parts)


def table(x: float, y: float, widths: Sequence[int], rows: Sequence[Sequence[str]]) -> Markup:
    """Rows of right-aligned cells; the first row is the head. `y` is the head's baseline."""
    parts = []
    for number, row in enumerate(rows):
        right = x
        for width, cell in zip(widths, row, strict=True):
            right += width
            parts.append(text(right, y, cell, "" if number else "soft", "end"))
        parts.append(Markup(f'<path class="grid" d="M{x:.1f} {y + 9:.1f}H{right:.1f}"/>'))
        y += 27
    return Markup("").join(parts)
