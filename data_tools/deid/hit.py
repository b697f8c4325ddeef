"""A place in a text that could tell who somebody is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAME, DATE, AGE = "name", "date", "age over 89"
PHONE, EMAIL, URL, HANDLE = "phone", "e-mail", "url", "handle"
ADDRESS, RECORD, NATIONAL, ACCOUNT, IP = "address", "record number", "national id", "account", "ip address"


@dataclass(frozen=True)
class Hit:
    """A stretch text[start:end] of some kind."""

    kind: str
    start: int
    end: int


def matches(kind: str, pattern: re.Pattern[str], text: str, group: int | str = 0) -> Iterator[Hit]:
    """The matches of a pattern, or of one of its groups where that took part."""
    for found in pattern.finditer(text):
        if found.start(group) >= 0:
            yield Hit(kind, found.start(group), found.end(group))
