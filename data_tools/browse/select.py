"""The samples of a view, their order, and how many there are of everything that one can filter by."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from data_tools.browse.columns import Category, Flags
from data_tools.browse.query import PAGE_SIZE, Query
from data_tools.browse.table import CATEGORIES, Table

FILTERS = (*CATEGORIES, "note", "finding")  # those with a list of values to choose from
KEPT = 24  # results kept for views that are asked for again
UNKNOWN = "unknown"  # as a filter: what records do not tell
Asked = TypeVar("Asked", bound=Hashable)


@dataclass(frozen=True)
class Page:
    """One page of a view: sample numbers, its own number from 1, and how many pages there are."""

    samples: list[int]
    number: int
    pages: int


class Selector:
    """Views of a table. Safe to use from several threads."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._masks = _Kept(self._mask)
        self._orders = _Kept(self._order)
        self._texts = _Kept(table.texts.mask)

    def column(self, name: str) -> Category | Flags:
        """The column of a filter."""
        if name in CATEGORIES:
            return self.table.categories[name]
        return self.table.notes if name == "note" else self.table.kinds

    def total(self, query: Query) -> int:
        """How many samples the filters leave."""
        return len(self.order(query))

    def order(self, query: Query) -> np.ndarray:
        """Sample numbers of all pages of a view, int (n,)."""
        return self._orders(query.but(page=1))

    def page(self, query: Query) -> Page:
        """The page that a view asks for, or the last one."""
        order = self.order(query)
        pages = max(1, -(-len(order) // PAGE_SIZE))
        number = min(query.page, pages)
        samples = order[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        return Page([int(sample) for sample in samples], number, pages)

    def place(self, query: Query, sample: int) -> int | None:
        """Where a sample stands in the order of a view, from 0; None if the filters leave it out."""
        found = np.flatnonzero(self.order(query) == sample)
        return int(found[0]) if len(found) else None

    def counts(self, query: Query, name: str) -> dict[str, int]:
        """Samples of each value of a filter among those that the other filters leave."""
        column = self.column(name)
        return column.counts(self._masks(query.filters.but(**{name: ""})))

    def classes(self, query: Query) -> dict[str, int]:
        """Samples of each class code, "" for unknown ones, among those that all filters leave."""
        return self.table.categories["label"].counts(self._masks(query.filters))

    def _mask(self, query: Query) -> np.ndarray:
        mask = np.ones(len(self.table), bool)
        for name in FILTERS:
            value = getattr(query, name)
            if value:
                mask &= self.column(name).mask("" if value == UNKNOWN and name in CATEGORIES else value)
        if query.text:
            mask &= self._texts(query.text)
        return mask

    def _order(self, query: Query) -> np.ndarray:
        samples = np.flatnonzero(self._masks(query.filters))
        table = self.table
        if query.sort == "key":
            return np.array(sorted(samples, key=lambda sample: table.keys[sample]), dtype=samples.dtype)
        by: dict[str, np.ndarray] = {
            "class": table.categories["label"].codes,
            "age": table.age,
            "-age": -table.age,  # unknown ages are nan and come last either way
            "findings": -table.findings,
            "words": -table.words,
        }
        if query.sort in by:
            samples = samples[np.argsort(by[query.sort][samples], kind="stable")]
        return samples


class _Kept(Generic[Asked]):
    """The last results of a function of one hashable value."""

    def __init__(self, compute: Callable[[Asked], np.ndarray]) -> None:
        self._compute = compute
        self._results: OrderedDict[Asked, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, value: Asked) -> np.ndarray:
        with self._lock:
            if value in self._results:
                self._results.move_to_end(value)
                return self._results[value]
        result = self._compute(value)
        with self._lock:
            self._results[value] = result
            while len(self._results) > KEPT:
                self._results.popitem(last=False)
        return result
