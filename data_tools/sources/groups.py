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

    Raises `DataError` when the table is missing, or has no column of ids or of groups.
    """
    rows = [row for _, row in read_table(path, dataset, ())]
    column = next((name for name in IDS if name in rows[0]), "")
    groups = [name for name in GROUPS if name in rows[0]]
    if not column or not groups:
        raise DataError(
            f"{dataset}: groups: {path} needs a column {' or '.join(IDS)}, and {' or '.join(GROUPS)}; "
            f"it has {', '.join(rows[0])}"
        )
    by_id = {row[column]: row for row in rows}
    found = 0
    for record in records:
        row = by_id.get(record.image_id, {})
        given = {name: known(row.get(name, "")) for name in groups}
        found += any(given.values())
        for name, value in given.items():
            setattr(record, name, getattr(record, name) or value)
    say(f"{dataset}: lesion or patient ids for {found} of {len(records)} records from {path.name}")
