"""PAD-UFES-20 by its official metadata.csv: smartphone photos, several per patient and lesion.

The table names .png files; a copy of the data in another format is found by stem. Lesion numbers get the
prefix PAD_, because ids are compared over all sources when records are grouped.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.base import (
    BadRowError,
    ImageFolder,
    Row,
    SourceResult,
    collect,
    find_metadata,
    read_table,
    select,
)
from data_tools.sources.vocabulary import (
    age_of,
    confirmation_of,
    known,
    malignancy_of,
    sex_of,
    site_of,
    skin_tone_of,
)
from mmfm.records import Record
from mmfm.taxonomy import label_of

METADATA = ("metadata.csv",)
COLUMNS = (
    "patient_id", "lesion_id", "age", "gender", "fitspatrick", "region", "diagnostic", "img_id", "biopsed",
)  # fmt: skip
SYMPTOMS = ("itch", "grew", "hurt", "changed", "bleed", "elevation")
LICENSE = "CC-BY-4.0"
CLASSES = {"ACK": "ACK", "BCC": "BCC", "MEL": "MEL", "NEV": "NEV", "SCC": "SCC", "SEK": "BEK", "BOD": "SCC"}
SUBCLASSES = {"SEK": "seborrheic keratosis", "BOD": "squamous cell carcinoma in situ"}


def read(cfg: SourceConfig, folder: Path, dataset: str) -> SourceResult:
    """Read the official table and find its images anywhere below `folder` (they come in three parts)."""
    path = find_metadata(folder, cfg, METADATA, dataset)
    rows = select(read_table(path, dataset, COLUMNS), cfg, dataset, path)
    images = ImageFolder(folder / cfg.images, dataset)
    return collect(
        rows,
        images,
        convert=lambda row: _record(row, dataset, cfg.domain),
        file_of=itemgetter("img_id"),
        dataset_of=lambda row: dataset,
    )


def _record(row: Row, dataset: str, domain: str) -> Record:
    if row["diagnostic"] not in CLASSES:
        raise BadRowError(f"unknown label {row['diagnostic']!r}; diagnostic is one of {', '.join(CLASSES)}")
    label = label_of(CLASSES[row["diagnostic"]])
    return Record(
        dataset=dataset,
        image_id=Path(row["img_id"]).stem,
        domain=domain or "smartphone",
        lesion_id=f"PAD_{row['lesion_id']}" if row["lesion_id"] else "",
        patient_id=row["patient_id"],
        label=label,
        subclass=SUBCLASSES.get(row["diagnostic"], ""),
        malignancy=malignancy_of("", label),
        age=age_of(row["age"]),
        sex=sex_of(row["gender"]),
        site=site_of(row["region"]),
        skin_tone=skin_tone_of(row["fitspatrick"]),
        confirmation=confirmation_of({"True": "biopsy", "False": "clinical"}.get(row["biopsed"], "")),
        license=LICENSE,
        extras=_symptoms(row),
    )


def _symptoms(row: Row) -> dict[str, bool]:
    """What the patient tells of the lesion, where it is told."""
    return {name: row[name] == "True" for name in SYMPTOMS if known(row.get(name, ""))}
