"""What a view shows, as the query string of its address: filters, order and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import parse_qs, urlencode

PAGE_SIZE = 60
SORTS = {
    "": "as in the shards",
    "key": "name",
    "class": "class",
    "age": "age, youngest first",
    "-age": "age, oldest first",
    "findings": "most findings first",
    "words": "longest notes first",
}


@dataclass(frozen=True)
class Query:
    """A view. "" filters nothing; `page` counts from 1. The same view has the same query string."""

    split: str = ""
    dataset: str = ""
    domain: str = ""
    label: str = ""  # class code
    subclass: str = ""
    sex: str = ""
    note: str = ""  # name of a note that is there; after "!" of one that was refused
    finding: str = ""  # kind of finding; "any"
    text: str = ""  # words in the notes, in any case
    sort: str = ""  # of SORTS
    page: int = 1

    @classmethod
    def parse(cls, words: str) -> Query:
        """Read a query string. What it does not know it leaves at the default: an address never fails."""
        given = {name: values[-1] for name, values in parse_qs(words, errors="replace").items()}
        known = {each.name: given[each.name].strip() for each in fields(cls) if each.name in given}
        page = known.pop("page", "1")
        if known.get("sort", "") not in SORTS:
            known.pop("sort")
        return cls(**known, page=_page_number(page))

    @property
    def words(self) -> str:
        """The query string; "" for the first page of everything."""
        return urlencode([(name, value) for name, value in self.set_fields() if (name, value) != ("page", 1)])

    @property
    def filters(self) -> Query:
        """The same without order and page: two views with equal filters show the same samples."""
        return replace(self, sort="", page=1)

    @property
    def cleared(self) -> Query:
        """Everything, in the same order."""
        return Query(sort=self.sort)

    def set_fields(self) -> Sequence[tuple[str, str | int]]:
        """Names and values of the fields that are not empty."""
        pairs = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return [(name, value) for name, value in pairs if value != ""]

    def but(self, **changes: str | int) -> Query:
        """Another view; the first page unless `page` is among the changes."""
        return replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]


def _page_number(word: str) -> int:
    """A page from 1 on; 1 for words that name none."""
    sound = word.isascii() and word.isdigit() and len(word) < 10
    return max(1, int(word)) if sound else 1
