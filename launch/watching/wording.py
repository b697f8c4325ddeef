"""Quantities as people read them."""

from __future__ import annotations

from collections.abc import Sequence

NAMES_SHOWN = 4  # host names told one by one; of more, their number
UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))  # each with what follows in it


def duration(seconds: float) -> str:
    """A time span in its two largest units."""
    whole = round(seconds)
    for unit, name, below, below_name in UNITS:
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name} {rest} {below_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def host_names(hosts: Sequence[str]) -> str:
    """Host names, or their number where they would fill the line."""
    return ", ".join(hosts) if len(hosts) <= NAMES_SHOWN else f"{len(hosts)} nodes"
