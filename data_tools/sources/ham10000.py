"""HAM10000 by its official table: lesion_id, image_id, dx, dx_type, age, sex, localization.

`dx` puts actinic keratosis and intraepithelial carcinoma into one class, `akiec`, and does not tell them
apart: it becomes ACK. A table that tells them apart can be read by the table source instead.
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
from data_tools.sources.vocabulary import age_of, confirmation_of, malignancy_of, sex_of, site_of
from mmfm.records import Record
from mmfm.taxonomy import label_of

METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
LICENSE = "CC-BY-NC-4.0"
CLASSES = {"akiec": "ACK", "bcc": "BCC", "bkl": "BEK", "df": "DF", "mel": "MEL", "nv": "NEV", "vasc": "VASC"}
SUBCLASSES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "",  # seborrheic keratosis, solar lentigo or lichenoid keratosis
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "",
}


def read(cfg: SourceConfig, folder: Path, dataset: str) -> SourceResult:
    """Read the official table and find its images anywhere below `folder` (they come in two parts)."""
    path = find_metadata(folder, cfg, METADATA, dataset)
    rows = select(read_table(path, dataset, COLUMNS), cfg, dataset, path)
    images = ImageFolder(folder / cfg.images, dataset)
    return collect(
        rows,
        images,
        convert=lambda row: _record(row, dataset, cfg.domain),
        file_of=itemgetter("image_id"),
        dataset_of=lambda row: dataset,
    )


def _record(row: Row, dataset: str, domain: str) -> Record:
    diagnosis = row["dx"].lower()
    if diagnosis not in CLASSES:
        raise BadRowError(f"unknown label {row['dx']!r}; dx is one of {', '.join(CLASSES)}")
    label = label_of(CLASSES[diagnosis])
    return Record(
        dataset=dataset,
        image_id=row["image_id"],
        domain=domain or "dermoscopic",
        lesion_id=row["lesion_id"],
        label=label,
        subclass=SUBCLASSES[diagnosis],
        malignancy=malignancy_of("", label),
        age=age_of(row["age"]),
        sex=sex_of(row["sex"]),
        site=site_of(row["localization"]),
        confirmation=confirmation_of(row["dx_type"]),
        license=LICENSE,
    )
