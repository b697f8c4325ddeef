"""Data sets with a table of their own: Fitzpatrick17k, MRA-MIDAS, DERM12345 and BCN20000.

Column names are those of the publishers' releases as public code reads them; none of the four was at hand
to be run here (their rows in the reference system's tables were).
"""

from __future__ import annotations

import re
from operator import itemgetter
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, Rows, first, table_rows
from data_tools.sources.base import TABLE, BadRowError, Row, read_tables, select
from data_tools.sources.diagnosis import diagnosis_of
from data_tools.sources.vocabulary import known
from data_tools.splits import PUBLISHED
from mmfm.data.index import TEST, TRAIN

FITZPATRICK17K = ("md5hash", "label")
MIDAS = ("midas_record_id", "midas_file_name", "midas_path")
MIDAS_NUMBER = re.compile(r"^\d+\s*-\s*")
MIDAS_PREFIX = re.compile(r"^(benign|malignant|other)\s*-\s*")
MIDAS_OTHER = {"benign": "benign other", "malignant": "malignant other", "other": "other"}
DERM12345 = ("label",)
DERM12345_SUPPLEMENT = "derm12345_supplemental.csv"
DERM12345_TABLES = {"derm12345_metadata_train.csv": "train", "derm12345_metadata_test.csv": "test"}
DERM12345_CODES = {  # leaf of the publishers' tree: its words
    "acb": "acral nevus", "ccb": "congenital nevus", "mcb": "dermal nevus", "cb": "compound nevus",
    "bdb": "blue nevus", "db": "dermal nevus", "ajb": "acral nevus", "cjb": "congenital nevus",
    "jb": "junctional nevus", "acd": "dysplastic nevus", "ccd": "dysplastic nevus", "cd": "dysplastic nevus",
    "ajd": "dysplastic nevus", "srjd": "reed or spitz nevus", "jd": "dysplastic nevus",
    "rd": "recurrent nevus",
    "lm": "lentigo maligna", "lmm": "lentigo maligna melanoma", "anm": "acral nodular melanoma",
    "alm": "acral lentiginous melanoma", "mel": "melanoma", "bcc": "basal cell carcinoma",
    "ak": "actinic keratosis", "bd": "bowen disease", "scc": "squamous cell carcinoma",
    "sk": "seborrheic keratosis", "sl": "solar lentigo", "lk": "lichenoid keratosis",
    "ls": "lentigo simplex", "isl": "ink-spot lentigo", "df": "dermatofibroma", "angk": "angiokeratoma",
    "ha": "hemangioma", "la": "lymphangioma", "pg": "pyogenic granuloma", "sa": "spider angioma",
    "ks": "kaposi sarcoma", "ch": "cutaneous horn", "dfsp": "dermatofibrosarcoma protuberans",
    "mpd": "mammary paget disease",
}  # fmt: skip
BCN20000 = ("bcn_filename", "diagnosis", "lesion_id")
BCN20000_CODES = {
    "NV": "melanocytic nevus", "MEL": "melanoma", "BCC": "basal cell carcinoma",
    "BKL": "benign keratosis-like lesion", "AK": "actinic keratosis", "SCC": "squamous cell carcinoma",
    "DF": "dermatofibroma", "VASC": "vascular lesion",
}  # fmt: skip
SPLITS = {"train": TRAIN, "test": TEST}


def fitzpatrick17k(cfg: SourceConfig) -> Adapter:
    """fitzpatrick17k.csv: md5hash, fitzpatrick_scale, label, url; images are named by their hash."""
    return Adapter(
        rows=table_rows(("fitzpatrick17k.csv",), FITZPATRICK17K),
        draft=_fitzpatrick17k,
        file_of=itemgetter("md5hash"),
        license="CC-BY-NC-SA-3.0",
        domain="clinical",
    )


def mra_midas(cfg: SourceConfig) -> Adapter:
    """release_midas.xlsx or its CSV export: several pictures of a record, at three distances."""
    return Adapter(
        rows=table_rows(("release_midas.xlsx", "release_midas.csv"), MIDAS),
        draft=_midas,
        file_of=itemgetter("midas_file_name"),
    )


def derm12345(cfg: SourceConfig) -> Adapter:
    """derm12345_metadata_{train,test}.csv of the release, or the archive's supplement with both."""
    return Adapter(
        rows=_derm12345_rows,
        draft=_derm12345,
        file_of=lambda row: first(row, ("image_id", "isic_id")),
        license="CC-BY-4.0",
        domain="dermoscopic",
    )


def bcn20000(cfg: SourceConfig) -> Adapter:
    """bcn20000_metadata.csv of the release, with its split. Rows without a diagnosis are refused."""
    return Adapter(
        rows=table_rows(("bcn20000_metadata.csv", "bcn_20k_train.csv"), BCN20000),
        draft=_bcn20000,
        file_of=itemgetter("bcn_filename"),
        license="CC-BY-NC-4.0",
        domain="dermoscopic",
    )


def _fitzpatrick17k(row: Row) -> Draft:
    return Draft(
        image_id=row["md5hash"],
        diagnosis=diagnosis_of(row["label"]),
        skin_tone=row.get("fitzpatrick_scale", ""),
        extras={name: row[name] for name in ("qc", "url") if known(row.get(name, ""))},
    )


def _midas(row: Row) -> Draft:
    if row.get("midas_iscontrol", "").lower() in ("yes", "true", "1"):
        raise BadRowError("control picture of healthy skin")
    distance = row.get("midas_distance", "").lower()
    impressions = [first(row, (f"clinical_impression_{number}",)) for number in (1, 2, 3)]
    words, confirmation = known(row["midas_path"]), "histopathology"
    if not words:
        words, confirmation = impressions[0], "clinical assessment"
    sizes = {"length_mm": ("length_(mm)", "length__mm_"), "width_mm": ("width_(mm)", "width__mm_")}
    extras = {name: size for name, columns in sizes.items() if (size := first(row, columns))}
    return Draft(
        image_id=Path(row["midas_file_name"]).stem,
        diagnosis=diagnosis_of(_midas_words(words)),
        domain="dermoscopic" if distance == "dscope" else "clinical",
        lesion_id=f"MIDAS_{row['midas_record_id']}" if row["midas_record_id"] else "",
        age=row.get("midas_age", ""),
        sex=row.get("midas_gender", ""),
        site=row.get("midas_location", ""),
        skin_tone=row.get("midas_fitzpatrick", ""),
        confirmation=confirmation,
        # Not the description: the pathologist's text tells what no picture shows.
        extras={**extras, **({"pathology": row["midas_pathreport"]} if row.get("midas_pathreport") else {})},
    )


def _midas_words(words: str) -> str:
    """ "7-malignant-bcc" as "bcc": the number is that of a menu, the prefix goes without saying."""
    rest = MIDAS_NUMBER.sub("", words.lower())
    prefix = MIDAS_PREFIX.match(rest)
    bare = MIDAS_PREFIX.sub("", rest)
    return MIDAS_OTHER[prefix[1]] if prefix and bare == "other" else bare


def _derm12345_rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """The supplement's rows; without it, those of the two tables, each with its `split`."""
    there = [name for name in DERM12345_TABLES if (folder / name).is_file()]
    if cfg.metadata or (folder / DERM12345_SUPPLEMENT).is_file() or not there:
        return table_rows((DERM12345_SUPPLEMENT, *DERM12345_TABLES), DERM12345)(cfg, folder, dataset)
    rows = read_tables([folder / name for name in there], folder, dataset, DERM12345)
    found = [(number, {**row, "split": DERM12345_TABLES[row[TABLE]]}) for number, row in rows]
    return select(found, cfg, dataset, folder / there[0])


def _derm12345(row: Row) -> Draft:
    code = row["label"].lower()
    words = DERM12345_CODES.get(code, row["label"])
    split = SPLITS.get(row.get("split", "").lower(), "")
    return Draft(
        image_id=first(row, ("image_id", "isic_id")),
        diagnosis=diagnosis_of(words),
        patient_id=f"DERM12345_{patient}" if (patient := first(row, ("patient_id",))) else "",
        lesion_id=f"DERM12345_{lesion}" if (lesion := first(row, ("lesion_id",))) else "",
        extras={PUBLISHED: split} if split else {},
    )


def _bcn20000(row: Row) -> Draft:
    words = BCN20000_CODES.get(row["diagnosis"].upper(), row["diagnosis"])
    split = SPLITS.get(row.get("split", "").lower(), "")
    return Draft(
        image_id=Path(row["bcn_filename"]).stem,
        diagnosis=diagnosis_of(words),
        lesion_id=row["lesion_id"],
        age=row.get("age_approx", ""),
        sex=row.get("sex", ""),
        site=row.get("anatom_site_general", ""),
        extras={PUBLISHED: split} if split else {},
    )
