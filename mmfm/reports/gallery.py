"""The retrieval gallery: queries with their hits, right and wrong, within a budget of bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mmfm.errors import DataError
from mmfm.reports.runs import Run

DATA_URI = re.compile(r"data:image/(jpeg|png|webp);base64,[A-Za-z0-9+/=]+\Z")
BUDGET = 1_200_000  # bytes of images in the gallery
PER_DIRECTION = 8  # most queries shown
HITS = 5  # hits shown of each


@dataclass(frozen=True)
class Item:
    """An image and its note; `image` is a data URI or ""."""

    code: str
    key: str
    note: str
    image: str


@dataclass(frozen=True)
class Hit(Item):
    """A ranked answer. `own`: its note is that of the query; `relevant`: of the query's class."""

    rank: int
    score: float
    relevant: bool
    own: bool


@dataclass(frozen=True)
class Query(Item):
    """A query with its first hits."""

    direction: str
    hits: list[Hit]

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


def queries(runs: list[Run]) -> dict[str, list[Query]]:
    """Queries to show by direction, in file order. Raises `DataError` for entries that cannot be used."""
    shown: dict[str, list[Query]] = {}
    left = BUDGET
    for run in runs:
        for suite in run.suites:
            for entry in suite.gallery:
                query = _query(entry, run)
                size = len(query.image) + sum(len(hit.image) for hit in query.hits)
                of_direction = shown.setdefault(query.direction, [])
                if len(of_direction) < PER_DIRECTION and size <= left:
                    of_direction.append(query)
                    left -= size
    return {direction: found for direction, found in shown.items() if found}


def _query(entry: dict[str, Any], run: Run) -> Query:
    try:
        hits = [
            Hit(
                **_item(hit),
                rank=int(hit["rank"]),
                score=float(hit["score"]),
                relevant=bool(hit["relevant"]),
                own=bool(hit["own"]),
            )
            for hit in entry["hits"][:HITS]
        ]
        return Query(**_item(entry["query"]), direction=str(entry["direction"]), hits=hits)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the retrieval gallery in {run.folder / 'evals'} is damaged ({error!r}): evaluate again"
        ) from error


def _item(data: dict[str, Any]) -> dict[str, str]:
    image = data.get("image") or ""
    return {
        "code": str(data.get("class") or ""),
        "key": str(data["key"]),
        "note": str(data.get("note") or ""),
        "image": image if DATA_URI.match(image) else "",  # nothing but an embedded picture gets into the page
    }
