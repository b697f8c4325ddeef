"""MILK10k by its official tables: metadata by image, ground truth by lesion, diagnoses by image.

Each lesion has a clinical and a dermoscopic picture; they become the data sets `milk10k_clinic` and
`milk10k_dermo`. The ground truth class AKIEC holds actinic keratoses and carcinomas in situ and becomes
ACK, as in the reference data; the supplement tells them apart, and so do subclass and malignancy here.
INF, BEN_OTH and MAL_OTH are outside the eight classes and are refused.
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
    malignancy_of,
    sex_of,
    site_of,
    skin_tone_of,
)
from mmfm.records import Record
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
LICENSES = {"CC-BY-NC": "CC-BY-NC-4.0"}
SUBCLASSES = {  # diagnoses whose words stand in another order than people say them
    "Melanoma Invasive": "invasive melanoma",
    "Melanoma metastasis": "melanoma metastasis",
    "Nevus": "nevus",
    "Solar or actinic keratosis": "actinic keratosis",
    "Squamous cell carcinoma, Invasive": "invasive squamous cell carcinoma",
    "Squamous cell carcinoma in situ, Bowens disease": "squamous cell carcinoma in situ",
    "Lichen planus like keratosis": "lichenoid keratosis",
    "Nevus, Congenital": "congenital nevus",
    "Nevus, BAP-1 deficient": "BAP-1 deficient nevus",
    "Nevus, Spitz": "Spitz nevus",
    "Nevus, Reed": "Reed nevus",
    "Nevus, Spilus": "nevus spilus",
    "Nevus, Recurrent or persistent": "recurrent or persistent nevus",
    "Hemangioma, Hobnail": "hobnail hemangioma",
}


def read(cfg: SourceConfig, folder: Path, dataset: str) -> SourceResult:
    """Read the three tables below `folder`; `dataset` is the stem of the two data sets' names."""
    path = find_metadata(folder, cfg, METADATA, dataset)
    rows = select(read_table(path, dataset, COLUMNS), cfg, dataset, path)
    truth = read_table(path.parent / GROUND_TRUTH, dataset, ("lesion_id", *CLASSES, *OUTSIDE))
    lesions = {row["lesion_id"]: row for _, row in truth}
    supplement = read_table(
        path.parent / SUPPLEMENT, dataset, ("isic_id", "diagnosis_full", "diagnosis_confirm_type")
    )
    diagnoses = {row["isic_id"]: row for _, row in supplement}
    images = ImageFolder(folder / cfg.images, dataset)

    def name_of(row: Row) -> str:
        dermoscopic = row["image_type"].startswith("dermoscopic")
        return f"{dataset}_{'dermo' if dermoscopic else 'clinic'}"

    return collect(
        rows,
        images,
        convert=lambda row: _record(row, name_of(row), lesions, diagnoses.get(row["isic_id"], {})),
        file_of=itemgetter("isic_id"),
        dataset_of=name_of,
    )


def _native_class(lesion: str, truth: Row) -> str:
    """The column of the ground truth that holds 1."""
    for name in (*CLASSES, *OUTSIDE):
        value = truth.get(name, "")
        try:
            if float(value or 0) == 1:
                return name
        except ValueError:
            raise BadRowError(f"lesion {lesion!r} has {name}={value!r} in {GROUND_TRUTH}") from None
    raise BadRowError(f"lesion {lesion!r} has no class in {GROUND_TRUTH}")


def _record(row: Row, dataset: str, lesions: dict[str, Row], diagnosis: Row) -> Record:
    native = _native_class(row["lesion_id"], lesions.get(row["lesion_id"], {}))
    if native in OUTSIDE:
        raise BadRowError(f"label {native!r} outside the eight classes")
    label = label_of(CLASSES[native])
    full = diagnosis.get("diagnosis_full", "")
    tone = skin_tone_of(row["skin_tone_class"])
    return Record(
        dataset=dataset,
        image_id=row["isic_id"],
        domain="dermoscopic" if dataset.endswith("_dermo") else "clinical",
        lesion_id=row["lesion_id"],
        label=label,
        subclass=_subclass(full),
        malignancy=malignancy_of(MALIGNANT if "carcinoma" in full.lower() else "", label),
        age=age_of(row["age_approx"]),
        sex=sex_of(row["sex"]),
        site=site_of(row["site"]),
        skin_tone=f"class {tone}" if tone else "",  # not Fitzpatrick: 0 is the darkest, 5 the lightest
        confirmation=confirmation_of(diagnosis.get("diagnosis_confirm_type", "")),
        license=LICENSES.get(row["copyright_license"], row["copyright_license"]),
        extras={"native_label": native},
    )


def _subclass(diagnosis: str) -> str:
    """A diagnosis in plain words: "Nevus, NOS, Compound" becomes "compound nevus"."""
    if diagnosis in SUBCLASSES:
        return SUBCLASSES[diagnosis]
    parts = [part.strip().lower() for part in diagnosis.split(",") if part.strip() not in ("NOS", "")]
    return " ".join([*parts[1:], *parts[:1]])
