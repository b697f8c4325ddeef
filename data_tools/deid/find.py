"""All that a text tells of who somebody is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from data_tools.deid import hit as kinds
from data_tools.deid.dates import find_ages, find_dates
from data_tools.deid.hit import Hit
from data_tools.deid.names import find_names
from data_tools.deid.numbers import find_numbers
from data_tools.deid.places import find_places

__all__ = ["KINDS", "Hit", "find_field_hits", "find_hits", "masked"]

KINDS = (  # of two hits in one place the kind that comes first here stays
    kinds.EMAIL,
    kinds.URL,
    kinds.HANDLE,
    kinds.RECORD,
    kinds.NATIONAL,
    kinds.ACCOUNT,
    kinds.IP,
    kinds.DATE,
    kinds.PHONE,
    kinds.ADDRESS,
    kinds.AGE,
    kinds.NAME,
)
MARK = "*"
LONGEST_VALUE = 40  # letters: what is longer is prose, which its field tells nothing about


def find_hits(text: str) -> list[Hit]:
    """The places of a text that could tell who somebody is, in their order, none over another."""
    found: Iterator[Hit] = chain(
        find_places(text), find_numbers(text), find_dates(text), find_ages(text), find_names(text)
    )
    kept: list[Hit] = []
    for one in sorted(found, key=lambda one: (KINDS.index(one.kind), one.start - one.end)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: one.start)


def find_field_hits(field: str, text: str) -> list[Hit]:
    """As `find_hits`, for a text of a column or JSON name: that tells what is in `mrn`, `age` or `phone`."""
    if not field or len(text) > LONGEST_VALUE:
        return find_hits(text)
    label = f"{field.replace('_', ' ')}: "
    hits = find_hits(label + text)
    if any(one.start < len(label) < one.end for one in hits):
        return find_hits(text)
    hits = [one for one in hits if one.start >= len(label)]
    return [Hit(one.kind, one.start - len(label), one.end - len(label)) for one in hits]


def masked(text: str) -> str:
    """A stretch of text whose letters and digits cannot be read, with its length and its punctuation."""
    return "".join(MARK if letter.isalnum() else letter for letter in text)
