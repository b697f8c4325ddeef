"""`mmfm data ...`: download data sets, or say what a person must do."""

from __future__ import annotations

from typing import Any


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm data`."""
