"""Numbers as people read them."""

from __future__ import annotations

import math

MISSING = "–"
TINY = 1e-99  # below it a number is shown as 0


def count(value: float) -> str:
    """12345 -> "12,345"."""
    return f"{value:,.0f}"


def share(value: float, digits: int = 3) -> str:
    """A value in [0, 1] with fixed digits; larger values (ranks) with one."""
    return f"{value:.{digits}f}" if abs(value) <= 1 else f"{value:,.1f}".removesuffix(".0")


def interval(low: float, high: float, digits: int = 3) -> str:
    """A 95% interval: "[0.580, 0.660]"."""
    return f"[{share(low, digits)}, {share(high, digits)}]"


def signed(value: float, digits: int = 2) -> str:
    """With a sign, and a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(value: float) -> str:
    """0.873 -> "87%"."""
    return f"{100 * value:.0f}%"


def compact(value: float) -> str:
    """A short label for axes: 12000 -> "12k", 0.0005 -> "5e-4"."""
    size = abs(value)
    if size < TINY:
        return "0"
    if size < 1e-3:
        exponent = math.floor(math.log10(size))
        return f"{value / 10**exponent:.3g}e{exponent}"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.3g}{unit}"
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """250 -> "4 min 10 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listing(words: list[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
