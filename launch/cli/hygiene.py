"""`mmfm data ...`: duplicates, leakage, identifying words, preparation."""

from __future__ import annotations

from typing import Any


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm data`."""
