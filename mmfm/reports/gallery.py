"""The retrieval gallery: queries with their hits, right and wrong, within a budget of bytes."""

from __future__ import annotations

from dataclasses import dataclass

from mmfm.evaluation.results import Example, Hit, Item
from mmfm.reports.runs import Run

BUDGET = 1_200_000  # bytes of images in the gallery
PER_DIRECTION = 8  # most queries shown


@dataclass(frozen=True)
class Query:
    """An example of the gallery, and what to say of it."""

    example: Example

    @property
    def item(self) -> Item:
        """What is asked."""
        return self.example.query

    @property
    def hits(self) -> list[Hit]:
        """The best hits, in order."""
        return self.example.hits

    @property
    def by_image(self) -> bool:
        """Whether images ask for notes, not notes for images."""
        return self.example.direction.startswith("image")

    @property
    def verdict(self) -> str:
        """What the hits say, in words."""
        own = next((hit.rank for hit in self.hits if hit.own), None)
        same = sum(hit.relevant or hit.own for hit in self.hits)
        place = f"own partner at rank {own}" if own else f"own partner not in the first {len(self.hits)}"
        return f"{place}; {same} of {len(self.hits)} of the same class"

    @property
    def found(self) -> bool:
        """Whether the own partner is among the hits."""
        return any(hit.own for hit in self.hits)

    @property
    def size(self) -> int:
        """Bytes of its images."""
        return len(self.item.image) + sum(len(hit.item.image) for hit in self.hits)


def queries(runs: list[Run]) -> dict[str, list[Query]]:
    """Queries to show by direction, in file order."""
    shown: dict[str, list[Query]] = {}
    left = BUDGET
    for query in (Query(each) for run in runs for suite in run.suites for each in suite.outcome.gallery):
        of_direction = shown.setdefault(query.example.direction, [])
        if len(of_direction) < PER_DIRECTION and query.size <= left:
            of_direction.append(query)
            left -= query.size
    return {direction: found for direction, found in shown.items() if found}
