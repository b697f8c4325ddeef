"""`option`: a dataclass field with its one-line explanation, which help texts and the reference print."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import field
from typing import Any


def option(
    default: Any,
    help: str,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    length: int | None = None,
) -> Any:
    """A config field: its default, what it means (with its unit), and what `load` accepts for it.

    `choices` are the values allowed, if few. `minimum` and `maximum` bound a number, or each number of a list
    or mapping; `length` is that of a list.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "length": length,
    }
    if isinstance(default, (list, dict)) or hasattr(default, "__dataclass_fields__"):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
