"""HAM10000 by its official table: lesion_id, image_id, dx, dx_type, age, sex, localization.

`dx` puts actinic keratosis and intraepithelial carcinoma into one class, `akiec`, and does not tell them
apart: it becomes ACK. The copy in the ISIC archive does (`kind: isic`, `collection: ham10000`).
"""

from __future__ import annotations

from operator import itemgetter

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, table_rows
from data_tools.sources.base import BadRowError, Row
from data_tools.sources.diagnosis import Diagnosis
from mmfm.taxonomy import CLASSES, label_of

METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
DIAGNOSES = {  # dx: class, the publishers' words, subclass of the taxonomy
    "akiec": ("ACK", "actinic keratosis or intraepithelial carcinoma", ""),
    "bcc": ("BCC", "basal cell carcinoma", "basal cell carcinoma"),
    "bkl": ("BEK", "benign keratosis-like lesion", ""),  # seborrheic or lichenoid keratosis, or solar lentigo
    "df": ("DF", "dermatofibroma", "dermatofibroma"),
    "mel": ("MEL", "melanoma", "melanoma"),
    "nv": ("NEV", "melanocytic nevus", "benign melanocytic nevus"),
    "vasc": ("VASC", "vascular lesion", "vascular lesion"),
}
GROUPS = ("bkl", "vasc")  # their words name the group, no subclass


def adapter(cfg: SourceConfig) -> Adapter:
    """The official table; the images are found anywhere below the folder (they come in two parts)."""
    return Adapter(
        rows=table_rows(METADATA, COLUMNS),
        draft=_draft,
        file_of=itemgetter("image_id"),
        license="CC-BY-NC-4.0",
        domain="dermoscopic",
    )


def _draft(row: Row) -> Draft:
    code = row["dx"].lower()
    if code not in DIAGNOSES:
        raise BadRowError(f"unknown label {row['dx']!r}; dx is one of {', '.join(DIAGNOSES)}")
    name, words, matched = DIAGNOSES[code]
    label = label_of(name)
    subclass = "" if code in GROUPS else words
    return Draft(
        image_id=row["image_id"],
        diagnosis=Diagnosis(label, words, subclass, matched, CLASSES[label].malignancy),
        lesion_id=row["lesion_id"],
        age=row["age"],
        sex=row["sex"],
        site=row["localization"],
        confirmation=row["dx_type"],
    )
