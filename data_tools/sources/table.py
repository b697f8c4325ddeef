"""Any table with one row per image: a recipe maps its columns and values to those of records."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, Rows
from data_tools.sources.base import BadRowError, Row, read_table, select
from data_tools.sources.diagnosis import Diagnosis
from data_tools.sources.vocabulary import known
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES, UNKNOWN_LABEL, label_of, subclass_of

FILE = "file"  # the column that names the image; `image_id` does where it is not mapped
EXTRA = "extras."  # columns: {extras.NAME: COLUMN} goes to record.extras[NAME]
UNLABELLED = "unlabelled"  # values: {label: {x: unlabelled}} keeps the row without a label
FIELDS = {spec.name for spec in fields(Record)} - {"dataset", "extras", "notes"}
AS_THEY_ARE = (
    "domain", "lesion_id", "patient_id", "age", "sex", "site", "skin_tone", "confirmation", "description",
    "license",
)  # fmt: skip


def adapter(cfg: SourceConfig) -> Adapter:
    """The adapter that `cfg` describes. Raises `ConfigError` for a mapping that cannot work."""
    _check(cfg, cfg.dataset)

    def file_of(row: Row) -> str:
        values = _mapped(cfg, row)
        return values.get(FILE, "") or values.get("image_id", "")

    return Adapter(rows=_rows, draft=lambda row: _draft(_mapped(cfg, row), file_of(row)), file_of=file_of)


def _rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    path = folder / cfg.metadata
    return select(read_table(path, dataset, cfg.columns.values()), cfg, dataset, path)


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


def _draft(values: dict[str, str], file: str) -> Draft:
    extras: dict[str, Any] = {
        name.removeprefix(EXTRA): value
        for name, value in values.items()
        if name.startswith(EXTRA) and known(value)
    }
    return Draft(
        image_id=values.get("image_id") or Path(file).stem,
        diagnosis=_diagnosis(values),
        malignancy=values.get("malignancy", ""),
        extras=extras,
        **{name: values.get(name, "") for name in AS_THEY_ARE},
    )


def _diagnosis(values: dict[str, str]) -> Diagnosis:
    """What the mapped columns say of it. Without a column, the taxonomy's subclass is that of `subclass`."""
    subclass = known(values.get("subclass", ""))
    named = subclass_of(known(values.get("matched_subclass", "")) or subclass)
    return Diagnosis(
        label=_label(values.get("label")) if "label" in values else UNKNOWN_LABEL,
        native=known(values.get("native_class", "")),
        subclass=subclass,
        matched=named.name if named else "",
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
