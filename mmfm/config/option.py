"""`option`: a dataclass field with its one-line explanation, which help texts and the reference print."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import field
from typing import Any


def option(default: Any, help: str, choices: Sequence[str] = ()) -> Any:
    """A config field: its default, what it means (with its unit), and the values allowed, if few."""
    metadata = {"help": help, "choices": tuple(choices)}
    if isinstance(default, (list, dict)) or hasattr(default, "__dataclass_fields__"):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
