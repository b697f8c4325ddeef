"""Nested settings as one flat dictionary of dotted keys."""

from __future__ import annotations

from typing import Any


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}. Groups without keys vanish."""
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {k: v for name, value in values.items() for k, v in flatten(value, f"{prefix}{name}.").items()}
