"""The picture of a run that is disturbed, beside one that is not: losses by step, and steps by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from mmfm.reports import figure
from mmfm.reports.charts import Axes, nice_ticks
from mmfm.reports.format import compact
from mmfm.training.journal import Event

WIDTH, HEIGHT = 920, 700
LEFT, RIGHT = figure.MARGIN + 36.0, WIDTH - figure.MARGIN - 4.0
UPPER, LOWER = (132.0, 352.0), (442.0, 662.0)  # top and bottom of the two plots


@dataclass(frozen=True)
class Line:
    """One line of metrics as it was once seen, whether or not its step had to be done again."""

    step: int
    loss: float
    time: float


@dataclass
class Part:
    """One start of the run: where it was, what it did, how it ended. Times are seconds since submission."""

    nodes: list[str]
    began: float
    end: str = ""  # in words; empty if it reached the last step
    kept: list[Line] = field(default_factory=list)
    lost: list[Line] = field(default_factory=list)  # steps that a later start did again

    @property
    def colour(self) -> str:
        """By the number of nodes."""
        return "a" if len(self.nodes) == 4 else "b"


def parts_of(events: Sequence[Event], seen: Sequence[Line], ends: Sequence[str]) -> list[Part]:
    """The starts in the journal with the lines that each wrote. `ends`: how each but the last ended."""
    zero = events[0].time
    starts = [event for event in events if event.name == "start"]
    parts = [Part(event.values["nodes"], event.time - zero) for event in starts]
    for part, end in zip(parts, ends, strict=False):
        part.end = end
    last = {line.step: line.time for line in sorted(seen, key=lambda line: line.time)}
    for line in sorted(seen, key=lambda line: line.time):
        part = [part for part, event in zip(parts, starts, strict=True) if event.time <= line.time][-1]
        shifted = Line(line.step, line.loss, line.time - zero)
        (part.kept if last[line.step] == line.time else part.lost).append(shifted)
    return parts


def draw(parts: Sequence[Part], undisturbed: dict[int, float], subtitle: str) -> str:
    """The text of the SVG file."""
    title = "A pretraining that is preempted, loses a node and ends on two"
    return figure.document(WIDTH, HEIGHT, title, subtitle, [_losses(parts, undisturbed), _times(parts)])


def _losses(parts: Sequence[Part], undisturbed: dict[int, float]) -> Markup:
    steps = max(undisturbed)
    losses = [*undisturbed.values(), *(line.loss for part in parts for line in part.kept)]
    y_ticks = nice_ticks(min(losses), max(losses))
    x_ticks = [tick for tick in nice_ticks(0, steps, about=8) if tick <= steps]
    axes = Axes(0, steps, y_ticks[0], y_ticks[-1], LEFT, RIGHT, *UPPER)
    looks = [("c wide", "never disturbed, 4 processes"), ("a", "this run on 4 nodes"), ("b", "on 2 nodes")]
    drawn = [
        figure.plot(axes, "Loss by step", _labels(x_ticks), _labels(y_ticks)),
        figure.legend(RIGHT, axes.top - 16, looks),
        figure.line(axes, [(float(step), loss) for step, loss in undisturbed.items()], "c wide"),
    ]
    before: list[Line] = []  # joins the starts
    for part in parts:
        points = [(float(line.step), line.loss) for line in [*before[-1:], *part.kept]]
        drawn.append(figure.line(axes, points, part.colour))
        before = part.kept
        if part.end and part.kept:
            step = part.kept[-1].step
            drawn.append(figure.upright(axes, step, "c"))
            drawn.append(figure.text(axes.x(step) + 6, axes.bottom - 8, part.end, "soft"))
    return Markup("").join(drawn)


def _times(parts: Sequence[Part]) -> Markup:
    """Steps over seconds: what each start did, and in broken lines what was lost and done again."""
    lines = [line for part in parts for line in [*part.kept, *part.lost]]
    x_ticks = nice_ticks(0, max(line.time for line in lines), about=8)
    y_ticks = nice_ticks(0, max(line.step for line in lines))
    axes = Axes(0, x_ticks[-1], 0, y_ticks[-1], LEFT, RIGHT, *LOWER)
    drawn = [figure.plot(axes, "Step by seconds since submission", _labels(x_ticks), _labels(y_ticks))]
    for part in parts:
        done = [(line.time, float(line.step)) for line in part.kept]
        again = [(line.time, float(line.step)) for line in part.lost]
        drawn.append(figure.line(axes, done, part.colour))
        drawn.append(figure.line(axes, [*done[-1:], *again], f"{part.colour} dashed"))
        drawn.append(figure.dots(axes, done[-1:], part.colour))
        place = axes.x(part.began)
        drawn.append(figure.upright(axes, part.began, "c"))
        high = bool(done) and done[-1][1] > 0.7 * y_ticks[-1]
        words = f"starts on {_span(part.nodes)}"
        drawn.append(figure.text(place + 6, axes.bottom - 8 if high else axes.top + 14, words))
        if part.lost:  # to the right of them is nothing for a while
            words = f"{_span([str(line.step) for line in part.lost], 'steps ')} done again"
            place = axes.x(again[-1][0]) + 8
            drawn.append(figure.text(place, axes.y(again[-1][1]) - 8, words, "soft"))
            drawn.append(figure.text(place, axes.y(again[-1][1]) + 6, part.end))
        elif part.end and done:
            drawn.append(figure.text(axes.x(done[-1][0]) - 10, axes.y(done[-1][1]) + 2, part.end, "", "end"))
    return Markup("").join(drawn)


def _span(names: Sequence[str], lead: str = "") -> str:
    return f"{lead}{names[0]} to {names[-1]}" if len(names) > 1 else f"{lead}{names[0]}"


def _labels(ticks: Sequence[float]) -> figure.Ticks:
    return [(tick, compact(tick)) for tick in ticks]
