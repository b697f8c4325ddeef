"""Exports of the ISIC archive: metadata.csv of the gallery, of a collection or of the `isic` command.

Older and newer exports name their columns differently (diagnosis or diagnosis_1..5; anatom_site_general or
anatom_site_1..5; image_type or dermoscopic_type); the first that is filled counts, the most specific
diagnosis first. `collection` says which of the collections below it is: their name, licence and imaging
domain are used where the table does not tell. Lesion and patient ids (IL_..., IP_...) are those of the whole
archive, so copies of one lesion in two collections stay on one side of a split.

Checked on a real export (MILK10k, columns of 2025); the older columns are those that the archive's data
dictionary and public exports show.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, Rows, first, table_rows
from data_tools.sources.base import BadRowError, Row, read_tables, select
from data_tools.sources.diagnosis import Diagnosis, diagnosis_of
from mmfm.errors import ConfigError
from mmfm.taxonomy import BENIGN, MALIGNANT, PRECANCEROUS

METADATA = ("metadata.csv", "ISIC_metadata.csv")
ID = ("isic_id", "image_name", "name", "image", "_id")
FILE = ("filename", *ID)
# The most specific first. Of `diagnosis_4` "Nevus, NOS, Compound" is more than `diagnosis_3` "Nevus".
DIAGNOSIS = (
    "diagnosis_5", "diagnosis_4", "diagnosis_3", "iddx_5", "iddx_4", "iddx_3", "diagnosis", "diagnosis_2",
    "iddx_2",
)  # fmt: skip
MALIGNANCY = ("diagnosis_1", "benign_malignant", "iddx_1")
INDETERMINATE = "indeterminate"  # also "indeterminate/benign", "indeterminate/malignant"
SITE = ("anatom_site_special", "anatom_site_general", "anatom_site_5", "anatom_site_4", "anatom_site_3",
        "anatom_site_2", "anatom_site_1")  # fmt: skip
EXTRAS = (
    "attribution", "image_type", "dermoscopic_type", "melanocytic", "concomitant_biopsy", "family_hx_mm",
    "personal_hx_mm", "clin_size_long_diam_mm", "mel_thick_mm", "mel_ulcer", "mel_class", "nevus_type",
)  # fmt: skip
# collection: (data set, licence, imaging domain) where the table does not tell
COLLECTIONS = {
    "bcn20000": ("bcn20000", "CC-BY-NC-4.0", "dermoscopic"),
    "derm12345": ("derm12345", "CC-BY-4.0", "dermoscopic"),
    "ham10000": ("ham10000", "CC-BY-NC-4.0", "dermoscopic"),
    "hiba": ("hiba", "CC-BY-4.0", "dermoscopic"),
    "milk10k": ("milk10k", "CC-BY-NC-4.0", ""),
    "msk": ("msk", "CC0-1.0", "dermoscopic"),
    "pad_ufes20": ("pad_ufes20", "CC-BY-4.0", "smartphone"),
}
PAIRED = ("milk10k",)  # a clinical and a dermoscopic picture of each lesion: two data sets


def adapter(cfg: SourceConfig) -> Adapter:
    """The adapter of an export. Raises `ConfigError` for a collection that is not known."""
    if cfg.collection and cfg.collection not in COLLECTIONS:
        raise ConfigError(f"source collection {cfg.collection!r} is not one of {', '.join(COLLECTIONS)}")
    _, license, domain = COLLECTIONS.get(cfg.collection, ("", "", ""))
    photo = "smartphone" if domain == "smartphone" else "clinical"

    def draft(row: Row) -> Draft:
        return _draft(row, photo)

    return Adapter(
        rows=_rows,
        draft=draft,
        file_of=lambda row: first(row, FILE),
        license=license,
        domain=domain,
        dataset_of=_paired if cfg.collection in PAIRED else Adapter.dataset_of,
    )


def dataset_of(cfg: SourceConfig) -> str:
    """The name that records carry where the recipe gives none."""
    return COLLECTIONS[cfg.collection][0] if cfg.collection in COLLECTIONS else "isic"


def _rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """Rows of the export; of all exports in the folders below, where there is none at the top."""
    beside = sorted(folder.glob(f"*/{METADATA[0]}"))
    if cfg.metadata or not beside or any((folder / name).is_file() for name in METADATA):
        return table_rows(METADATA, ())(cfg, folder, dataset)
    return select(read_tables(beside, folder, dataset, ()), cfg, dataset, beside[0])


def _paired(dataset: str, row: Row) -> str:
    return f"{dataset}_{'dermo' if row.get('image_type', '').startswith('dermoscopic') else 'clinic'}"


def _draft(row: Row, photo: str) -> Draft:
    word = first(row, MALIGNANCY).lower()
    return Draft(
        image_id=Path(first(row, ID)).stem,
        diagnosis=_with_malignancy(_diagnosis(row), word),
        malignancy=None if word in ("", BENIGN, MALIGNANT) or word.startswith(INDETERMINATE) else word,
        domain=_domain(first(row, ("image_type",)), first(row, ("dermoscopic_type",)), photo),
        lesion_id=first(row, ("lesion_id",)),
        patient_id=first(row, ("patient_id",)),
        age=first(row, ("age_approx", "age")),
        sex=first(row, ("sex",)),
        site=first(row, SITE),
        skin_tone=first(row, ("fitzpatrick_skin_type",)),
        confirmation=first(row, ("diagnosis_confirm_type",)),
        license=first(row, ("copyright_license",)),
        extras={name: row[name] for name in EXTRAS if first(row, (name,))},
    )


def _diagnosis(row: Row) -> Diagnosis:
    """The most specific diagnosis that we know: a finer term than that falls back to the one beside it.

    Raises `BadRowError` where none is known, and where the finest is outside the eight classes.
    """
    refused: BadRowError | None = None
    for name in DIAGNOSIS:
        words = first(row, (name,))
        if not words:
            continue
        try:
            return diagnosis_of(words)
        except BadRowError as reason:
            if "outside" in str(reason):
                raise
            refused = refused or reason
    raise refused or BadRowError("no diagnosis")


def _with_malignancy(diagnosis: Diagnosis, word: str) -> Diagnosis:
    """The diagnosis with its row's malignancy: "indeterminate" is pre-cancerous of a keratosis alone."""
    if word in (BENIGN, MALIGNANT):
        return replace(diagnosis, malignancy=word)
    if word.startswith(INDETERMINATE) and diagnosis.malignancy != PRECANCEROUS:
        return replace(diagnosis, malignancy="")
    return diagnosis


def _domain(image_type: str, dermoscopic_type: str, photo: str) -> str:
    """The imaging domain that the columns tell; "" where they do not."""
    if image_type.startswith("dermoscopic") or (dermoscopic_type and not image_type):
        return "dermoscopic"
    return photo if image_type.startswith(("clinical", "TBP", "overview", "close-up")) else ""
