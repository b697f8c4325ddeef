"""Derm7pt (the seven-point checklist set): meta/meta.csv and meta/{train,valid,test}_indexes.csv.

Each case has a dermoscopic picture (column `derm`) and, for most, a clinical one (`clinic`); both are read,
as one lesion. The index files name rows of meta.csv, counted from 0. Written from the publishers' code and
description (release_v0); not run on the licensed files themselves.
"""

from __future__ import annotations

from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, Rows
from data_tools.sources.base import Row, find_metadata, read_table, select
from data_tools.sources.diagnosis import diagnosis_of
from data_tools.sources.vocabulary import known
from data_tools.splits import PUBLISHED, joined
from mmfm.data.index import TEST, TRAIN, VAL
from mmfm.errors import DataError

METADATA = ("meta/meta.csv", "meta.csv")
COLUMNS = ("case_num", "diagnosis", "derm", "clinic", "location", "sex")
INDEXES = {TRAIN: "train_indexes.csv", VAL: "valid_indexes.csv", TEST: "test_indexes.csv"}
PICTURES = {"derm": "dermoscopic", "clinic": "clinical"}
CRITERIA = (
    "pigment_network", "streaks", "pigmentation", "regression_structures", "dots_and_globules",
    "blue_whitish_veil", "vascular_structures", "elevation", "seven_point_score",
)  # fmt: skip


def adapter(cfg: SourceConfig) -> Adapter:
    """Both pictures of each case; `where: {picture: derm}` keeps one kind."""
    return Adapter(rows=_rows, draft=_draft, file_of=lambda row: row["file"])


def _rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """A row for each picture of a case, with its `file`, `picture` and `split`."""
    path = find_metadata(folder, cfg, METADATA, dataset)
    cases = read_table(path, dataset, COLUMNS)
    names: dict[int, list[str]] = {}
    for split, file in INDEXES.items():
        if (path.parent / file).is_file():
            for _, row in read_table(path.parent / file, dataset, ("indexes",)):
                if not row["indexes"].isdecimal():
                    raise DataError(f"{dataset}: {file}: {row['indexes']!r} is no number of a row")
                names.setdefault(int(row["indexes"]), []).append(split)
    pictures = [
        (number, {**row, "file": row[name], "picture": name, "split": joined(names.get(place, []))})
        for place, (number, row) in enumerate(cases)
        for name in PICTURES
        if known(row[name])
    ]
    return select(pictures, cfg, dataset, path)


def _draft(row: Row) -> Draft:
    score = {name: row[name] for name in CRITERIA if known(row.get(name, ""))}
    return Draft(
        image_id=Path(row["file"]).stem,
        diagnosis=diagnosis_of(row["diagnosis"]),
        domain=PICTURES[row["picture"]],
        lesion_id=f"DERM7PT_{row['case_num']}",
        sex=row["sex"],
        site=row["location"],
        extras={**score, **({PUBLISHED: row["split"]} if row["split"] else {})},
    )
