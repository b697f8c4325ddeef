"""Any table with one row per image: a recipe maps its columns and values to those of records."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from data_tools.config import SourceConfig
from data_tools.sources.base import BadRowError, ImageFolder, Row, SourceResult, collect, read_table, select
from data_tools.sources.vocabulary import (
    age_of,
    confirmation_of,
    known,
    malignancy_of,
    sex_of,
    site_of,
    skin_tone_of,
)
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES, UNKNOWN_LABEL, label_of

FILE = "file"  # the column that names the image; `image_id` does where it is not mapped
EXTRA = "extras."  # columns: {extras.NAME: COLUMN} goes to record.extras[NAME]
UNLABELLED = "unlabelled"  # values: {label: {x: unlabelled}} keeps the row without a label
FIELDS = {spec.name for spec in fields(Record)} - {"dataset", "extras", "notes"}


def read(cfg: SourceConfig, folder: Path, dataset: str) -> SourceResult:
    """Read the table that `cfg` maps. Raises `ConfigError` or `DataError` if it cannot be read so."""
    _check(cfg, dataset)
    path = folder / cfg.metadata
    rows = select(read_table(path, dataset, cfg.columns.values()), cfg, dataset, path)
    images = ImageFolder(folder / cfg.images, dataset)

    def file_of(row: Row) -> str:
        values = _mapped(cfg, row)
        return values.get(FILE, "") or values.get("image_id", "")

    return collect(
        rows,
        images,
        convert=lambda row: _record(cfg, dataset, _mapped(cfg, row), file_of(row)),
        file_of=file_of,
        dataset_of=lambda row: dataset,
    )


def _check(cfg: SourceConfig, dataset: str) -> None:
    """Refuse a mapping that cannot work."""
    allowed = FIELDS | {FILE}
    for name in {**cfg.columns, **cfg.values}:
        if name not in allowed and not name.startswith(EXTRA):
            raise ConfigError(
                f"source {dataset}: {name!r} is no field of a record. "
                f"Fields: {', '.join(sorted(allowed))}, extras.NAME"
            )
    if not cfg.metadata:
        raise ConfigError(f"source {dataset}: a table source needs `metadata`, the name of its table")
    if not {FILE, "image_id"} & set(cfg.columns):
        raise ConfigError(f"source {dataset}: map `file` or `image_id` to the column that names the image")


def _mapped(cfg: SourceConfig, row: Row) -> dict[str, str]:
    """The row by record fields, with the values that the recipe replaces replaced."""
    values = {name: row[column] for name, column in cfg.columns.items()}
    for name, replacement in cfg.values.items():
        if name in values:
            values[name] = str(replacement.get(values[name], values[name]))
    return values


def _record(cfg: SourceConfig, dataset: str, values: dict[str, str], file: str) -> Record:
    image_id = values.get("image_id") or Path(file).stem
    if not image_id:
        raise BadRowError("no image id")
    label = _label(values.get("label")) if "label" in values else UNKNOWN_LABEL
    extras: dict[str, Any] = {
        name.removeprefix(EXTRA): value
        for name, value in values.items()
        if name.startswith(EXTRA) and known(value)
    }
    try:
        malignancy = malignancy_of(values.get("malignancy", ""), label)
    except KeyError as word:
        raise BadRowError(f"unknown malignancy {word}") from None
    domain = known(values.get("domain", "")) or cfg.domain
    if not domain:
        raise BadRowError("no imaging domain: map a column to `domain` or set `domain` of the source")
    return Record(
        dataset=dataset,
        image_id=image_id,
        domain=domain,
        lesion_id=known(values.get("lesion_id", "")),
        patient_id=known(values.get("patient_id", "")),
        label=label,
        subclass=known(values.get("subclass", "")),
        malignancy=malignancy,
        age=age_of(values.get("age", "")),
        sex=sex_of(values.get("sex", "")),
        site=site_of(values.get("site", "")),
        skin_tone=skin_tone_of(values.get("skin_tone", "")),
        confirmation=confirmation_of(values.get("confirmation", "")),
        description=known(values.get("description", "")),
        license=known(values.get("license", "")),
        extras=extras,
    )


def _label(value: str | None) -> int:
    if value == UNLABELLED:
        return UNKNOWN_LABEL
    if not value:
        raise BadRowError("no label: outside the eight classes")
    try:
        return label_of(value)
    except KeyError:
        raise BadRowError(f"unknown label {value!r}; classes: {', '.join(CODES)} or their names") from None
