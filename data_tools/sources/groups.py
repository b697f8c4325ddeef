"""Lesion and patient ids from a table beside the metadata, for metadata that has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_tools.sources.base import read_table
from data_tools.sources.vocabulary import known
from mmfm.errors import DataError
from mmfm.progress import say
from mmfm.records import Record

IDS = ("image_id", "isic_id")
GROUPS = ("lesion_id", "patient_id")


def add_groups(records: Sequence[Record], path: Path, dataset: str) -> None:
    """Give records the lesion and patient ids that the table has for their image id, where they have none.

    Raises `DataError` when the table is missing, has no column of ids or of groups, or has an id twice with
    different groups.
    """
    rows = read_table(path, dataset, ())
    there = rows[0][1]
    column = next((name for name in IDS if name in there), "")
    groups = [name for name in GROUPS if name in there]
    if not column or not groups:
        raise DataError(
            f"{dataset}: groups: {path} needs a column {' or '.join(IDS)}, and {' or '.join(GROUPS)}; "
            f"it has {', '.join(there)}"
        )
    by_id: dict[str, tuple[int, dict[str, str]]] = {}
    for number, row in rows:
        given = {name: known(row[name]) for name in groups}
        earlier, same = by_id.setdefault(row[column], (number, given))
        if given != same:
            raise DataError(
                f"{dataset}: groups: {path} has {column} {row[column]!r} in rows {earlier} and {number}, "
                "with different groups: keep the right one"
            )
    found = 0
    for record in records:
        _, given = by_id.get(record.image_id, (0, {}))
        found += any(given.values())
        for name, value in given.items():
            setattr(record, name, getattr(record, name) or value)
    say(f"{dataset}: lesion or patient ids for {found} of {len(records)} records from {path.name}")
