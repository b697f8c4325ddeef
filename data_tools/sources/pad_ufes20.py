"""PAD-UFES-20 by its official metadata.csv: smartphone photos, several per patient and lesion.

The table names .png files; a copy of the data in another format is found by stem. Lesion numbers get the
prefix PAD_, because ids are compared over all sources when records are grouped.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, table_rows
from data_tools.sources.base import BadRowError, Row
from data_tools.sources.diagnosis import diagnosis_of
from data_tools.sources.vocabulary import known

METADATA = ("metadata.csv",)
COLUMNS = (
    "patient_id", "lesion_id", "age", "gender", "fitspatrick", "region", "diagnostic", "img_id", "biopsed",
)  # fmt: skip
SYMPTOMS = ("itch", "grew", "hurt", "changed", "bleed", "elevation")
DIAGNOSES = {
    "ACK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "MEL": "melanoma",
    "NEV": "melanocytic nevus",
    "SCC": "squamous cell carcinoma",
    "SEK": "seborrheic keratosis",
    "BOD": "squamous cell carcinoma in situ",
}
CONFIRMATION = {"true": "biopsy", "false": "clinical"}


def adapter(cfg: SourceConfig) -> Adapter:
    """The official table; the images are found anywhere below the folder (they come in three parts)."""
    return Adapter(
        rows=table_rows(METADATA, COLUMNS),
        draft=_draft,
        file_of=itemgetter("img_id"),
        license="CC-BY-4.0",
        domain="smartphone",
    )


def _draft(row: Row) -> Draft:
    if row["diagnostic"] not in DIAGNOSES:
        raise BadRowError(f"unknown label {row['diagnostic']!r}; diagnostic is one of {', '.join(DIAGNOSES)}")
    return Draft(
        image_id=Path(row["img_id"]).stem,
        diagnosis=diagnosis_of(DIAGNOSES[row["diagnostic"]]),
        lesion_id=f"PAD_{row['lesion_id']}" if row["lesion_id"] else "",
        patient_id=row["patient_id"],
        age=row["age"],
        sex=row["gender"],
        site=row["region"],
        skin_tone=row["fitspatrick"],
        confirmation=CONFIRMATION.get(row["biopsed"].lower(), ""),
        # what the patient tells of the lesion, where it is told
        extras={name: row[name].lower() == "true" for name in SYMPTOMS if known(row.get(name, ""))},
    )
