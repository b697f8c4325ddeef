"""The label and mapping files of the reference system, for any of its 15 data sets.

The folder holds `classes_subclasses_metadata_mapping.csv` (no header; id, label, superclass, class, subclass,
description, match_class, match_subclass; commas written as "-", "-" alone for none), `labels.csv`
(file, label) and, where there is a split, `labels_{train,valid,test}.csv`. Rows of the two tables belong
together by their exact id, in whatever order they stand.

The label is that of `match_class`; the label column is kept as `extras["reference_label"]` and where the two
disagree, that is said. Split names go to `extras["split"]`: "train", "val", "test", or several joined by "+".
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.patches.patch import PATCHED
from data_tools.sources.adapter import Adapter, Draft, Rows
from data_tools.sources.base import BadRowError, Row, select
from data_tools.sources.diagnosis import Diagnosis, diagnosis_of
from data_tools.sources.vocabulary import known, malignancy_of
from data_tools.splits import PUBLISHED, joined
from mmfm.data.index import TEST, TRAIN, VAL
from mmfm.errors import DataError
from mmfm.records import Record
from mmfm.taxonomy import CODES, label_of, subclass_of

MAPPING = "classes_subclasses_metadata_mapping.csv"
LABELS = "labels.csv"
SPLIT_FILES = {TRAIN: "labels_train.csv", VAL: "labels_valid.csv", TEST: "labels_test.csv"}
COLUMNS = ("id", "label", "superclass", "class", "subclass", "description", "match_class", "match_subclass")
REFERENCE_LABEL = "reference_label"
# folder of the reference system: (name that records carry, imaging domain, licence)
DATASETS = {
    "BCN20000": ("bcn20000", "dermoscopic", "CC-BY-NC-4.0"),
    "Derm7pt": ("derm7pt", "dermoscopic", ""),
    "DermNet": ("dermnet", "clinical", ""),
    "FLUO_SC": ("fluo_sc", "clinical", ""),
    "Fitzpatrick17k": ("fitzpatrick17k", "clinical", "CC-BY-NC-SA-3.0"),
    "HAM10000": ("ham10000", "dermoscopic", "CC-BY-NC-4.0"),
    "Hospital_Italiano_Buenos_Aires": ("hiba", "dermoscopic", "CC-BY-4.0"),
    "MRA_MIDAS": ("mra_midas", "clinical", ""),
    "MSK": ("msk", "dermoscopic", "CC0-1.0"),
    "Milk10k_clinic": ("milk10k_clinic", "clinical", "CC-BY-NC-4.0"),
    "Milk10k_dermo": ("milk10k_dermo", "dermoscopic", "CC-BY-NC-4.0"),
    "PAD_UFES_20": ("pad_ufes20", "smartphone", "CC-BY-4.0"),
    "SD198": ("sd198", "clinical", ""),
    "SKINL2": ("skinl2", "dermoscopic", ""),
    "derm12345": ("derm12345", "dermoscopic", "CC-BY-4.0"),
}


def adapter(cfg: SourceConfig) -> Adapter:
    """The adapter of one folder of the reference system; images are found below `images`."""
    _, domain, license = DATASETS.get(_name(cfg), ("", "", ""))
    return Adapter(
        rows=_rows, draft=_draft, file_of=itemgetter("file"), domain=domain, license=license, review=review
    )


def dataset_of(cfg: SourceConfig) -> str:
    """The name that records carry where the recipe gives none: by the folder's name."""
    return DATASETS.get(_name(cfg), (_name(cfg),))[0]


def review(records: Sequence[Record]) -> Iterator[str]:
    """A line for each kind of row whose label column and class still disagree, and that no patch settles."""
    counts = Counter(
        (record.extras[REFERENCE_LABEL], CODES[record.label])
        for record in records
        if PATCHED not in record.extras and record.extras[REFERENCE_LABEL] != CODES[record.label]
    )
    for (label, matched), count in sorted(counts.items()):
        yield f"{count} rows have label {label} and a class that means {matched}; {matched} counts"


def _name(cfg: SourceConfig) -> str:
    return Path(cfg.root).name


def _rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """Rows of the mapping, each with its `file` and its `split`; ids are compared whole."""
    mapping = folder / (cfg.metadata or MAPPING)
    labels = folder / LABELS
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _table(mapping, dataset, len(COLUMNS))]
    listed = list(_table(labels, dataset, 2))
    files = {_id(file): (file, label) for file, label in listed}
    if len(files) < len(listed):
        raise DataError(f"{dataset}: {labels} has {len(listed) - len(files)} ids twice")
    split_of = _splits(folder, dataset)
    missing = [row["id"] for row in rows if row["id"] not in files] + sorted(
        files.keys() - {r["id"] for r in rows}
    )
    if missing:
        raise DataError(
            f"{dataset}: {len(missing)} ids are in one of {mapping} and {LABELS}, first {missing[0]!r}"
        )
    for row in rows:
        row["file"], row["file_label"] = files[row["id"]]
        row["split"] = split_of.get(row["id"], "")
    return select(list(enumerate(rows, start=1)), cfg, dataset, mapping)


def _splits(folder: Path, dataset: str) -> dict[str, str]:
    """The split of each id, or several joined."""
    names: dict[str, list[str]] = {}
    for split, file in SPLIT_FILES.items():
        if (folder / file).is_file():
            for name, _ in _table(folder / file, dataset, 2):
                names.setdefault(_id(name), []).append(split)
    return {name: joined(splits) for name, splits in names.items()}


def _table(path: Path, dataset: str, width: int) -> Iterator[list[str]]:
    """Rows of a file without header; white space around values, also the non-breaking, goes."""
    if not path.is_file():
        raise DataError(
            f"{dataset}: {path} not found: the folder of a reference data set holds {MAPPING}, {LABELS}"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if len(row) != width:
                raise DataError(
                    f"{dataset}: {path}, row {number}: {len(row)} columns where {width} are meant"
                )
            yield [" ".join(value.split()) for value in row]


def _id(file: str) -> str:
    """A file name without its suffix."""
    return file.rpartition(".")[0] or file


def _draft(row: Row) -> Draft:
    try:
        label = label_of(row["match_class"])
        malignancy = malignancy_of(row["superclass"], label)
    except KeyError as word:
        raise BadRowError(f"unknown label {word}; match_class and superclass say what it is") from None
    if not (row["label"].isdigit() and int(row["label"]) < len(CODES)) or row["label"] != row["file_label"]:
        raise BadRowError(f"label {row['label']!r}, and {row['file_label']!r} in {LABELS}")
    named = subclass_of(known(row["match_subclass"]))
    native, subclass = (_words(row[name], malignancy) for name in ("class", "subclass"))
    return Draft(
        image_id=row["id"],
        diagnosis=Diagnosis(
            label, native, _known_words(subclass, label), named.name if named else "", malignancy
        ),
        description=_description(row["description"]),
        extras={
            REFERENCE_LABEL: CODES[int(row["label"])],
            **({PUBLISHED: row["split"]} if row["split"] else {}),
        },
    )


@cache
def _words(value: str, malignancy: str) -> str:
    """A class in plain words: commas back in place, without "NOS" and a malignancy that is said elsewhere.

    MIDAS writes "malignant- basal cell cancer"; where that contradicts the superclass it stays, to be seen.
    """
    words = known(value)
    for prefix in (malignancy, "other"):
        words = re.sub(rf"^{prefix}[- ]+", "", words) if prefix else words
    words = re.sub(r"(?<=\w)- ", ", ", words)
    return re.sub(r", nos\b", "", words)


@cache
def _known_words(subclass: str, label: int) -> str:
    """Our words for a subclass that we know as one of this class; any other as it is."""
    try:
        found = diagnosis_of(subclass)
    except BadRowError:
        return subclass
    return found.subclass if found.label == label else subclass


def _description(value: str) -> str:
    """The description with its commas back; "0" is an empty cell of a spreadsheet."""
    return "" if value == "0" else re.sub(r"(?<=\w)- ", ", ", known(value)).strip(" ,-")
