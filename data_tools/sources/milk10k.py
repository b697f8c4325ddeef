"""MILK10k by its official tables: metadata by image, ground truth by lesion, diagnoses by image.

Each lesion has a clinical and a dermoscopic picture; they become the data sets `milk10k_clinic` and
`milk10k_dermo`. The ground truth class AKIEC holds actinic keratoses and carcinomas in situ and becomes
ACK, as in the reference data; the supplement tells them apart, and so do subclass and malignancy here
(the built-in patches go by the supplement for the label as well).
INF, BEN_OTH and MAL_OTH are outside the eight classes and are refused.
"""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, Rows, table_rows
from data_tools.sources.base import BadRowError, Row, find_metadata, read_table
from data_tools.sources.diagnosis import Diagnosis, diagnosis_of
from data_tools.sources.vocabulary import skin_tone_of
from mmfm.taxonomy import CLASSES as LESIONS
from mmfm.taxonomy import MALIGNANT, label_of

METADATA = ("MILK10k_Training_Metadata.csv",)
GROUND_TRUTH = "MILK10k_Training_GroundTruth.csv"
SUPPLEMENT = "MILK10k_Training_Supplement.csv"
COLUMNS = (
    "lesion_id",
    "image_type",
    "isic_id",
    "copyright_license",
    "age_approx",
    "sex",
    "skin_tone_class",
    "site",
)
CLASSES = {
    "AKIEC": "ACK",
    "BCC": "BCC",
    "BKL": "BEK",
    "DF": "DF",
    "MEL": "MEL",
    "NV": "NEV",
    "SCCKA": "SCC",
    "VASC": "VASC",
}
OUTSIDE = ("INF", "BEN_OTH", "MAL_OTH")
TRUTH = "truth."  # prefix of the ground truth's columns in a joined row
DIAGNOSES = ("diagnosis_full", "diagnosis_confirm_type")


def adapter(cfg: SourceConfig) -> Adapter:
    """The three tables, joined; `dataset` is the stem of the two data sets' names."""
    return Adapter(
        rows=_rows,
        draft=_draft,
        file_of=itemgetter("isic_id"),
        dataset_of=lambda dataset, row: f"{dataset}_{'dermo' if _dermoscopic(row) else 'clinic'}",
    )


def _dermoscopic(row: Row) -> bool:
    return row["image_type"].startswith("dermoscopic")


def _rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """The metadata's rows, with the ground truth of their lesions and the diagnoses of their images."""
    rows = table_rows(METADATA, COLUMNS)(cfg, folder, dataset)
    beside = find_metadata(folder, cfg, METADATA, dataset).parent
    truth = read_table(beside / GROUND_TRUTH, dataset, ("lesion_id", *CLASSES, *OUTSIDE))
    lesions = {row["lesion_id"]: {TRUTH + name: value for name, value in row.items()} for _, row in truth}
    supplement = read_table(beside / SUPPLEMENT, dataset, ("isic_id", *DIAGNOSES))
    diagnoses = {row["isic_id"]: {name: row[name] for name in DIAGNOSES} for _, row in supplement}
    return [
        (number, {**row, **lesions.get(row["lesion_id"], {}), **diagnoses.get(row["isic_id"], {})})
        for number, row in rows
    ]


def _truth(row: Row) -> str:
    """The column of the ground truth that holds 1. Raises `BadRowError` unless it is one."""
    lesion = row["lesion_id"]
    found = []
    for name in (*CLASSES, *OUTSIDE):
        value = row.get(TRUTH + name, "")
        try:
            if float(value or 0) == 1:
                found.append(name)
        except ValueError:
            raise BadRowError(f"lesion {lesion!r} has {name}={value!r} in {GROUND_TRUTH}") from None
    if len(found) != 1:
        raise BadRowError(f"lesion {lesion!r} has {' and '.join(found) or 'no class'} in {GROUND_TRUTH}")
    return found[0]


def _draft(row: Row) -> Draft:
    native = _truth(row)
    if native in OUTSIDE:
        raise BadRowError(f"label {native!r} outside the eight classes")
    tone = skin_tone_of(row["skin_tone_class"])
    return Draft(
        image_id=row["isic_id"],
        diagnosis=_diagnosis(label_of(CLASSES[native]), row.get("diagnosis_full", "")),
        domain="dermoscopic" if _dermoscopic(row) else "clinical",
        lesion_id=row["lesion_id"],
        age=row["age_approx"],
        sex=row["sex"],
        site=row["site"],
        skin_tone=f"class {tone}" if tone else "",  # not Fitzpatrick: 0 is the darkest, 5 the lightest
        confirmation=row.get("diagnosis_confirm_type", ""),
        license=row["copyright_license"],
        extras={"native_label": native},
    )


def _diagnosis(label: int, full: str) -> Diagnosis:
    """The supplement's diagnosis, under the ground truth's `label`."""
    try:
        found = diagnosis_of(full)
    except BadRowError:
        return Diagnosis(label, full.lower(), malignancy=LESIONS[label].malignancy)
    malignancy = MALIGNANT if "carcinoma" in full.lower() else LESIONS[label].malignancy
    return Diagnosis(label, found.native, found.subclass, found.matched, malignancy)
