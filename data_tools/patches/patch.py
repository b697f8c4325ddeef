"""A patch file: its version, and what is corrected where and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmfm.errors import ConfigError
from mmfm.taxonomy import CODES, MALIGNANCIES, UNKNOWN_LABEL, label_of, subclass_of

BUILTIN = "builtin"  # the name of our own file in a recipe
FILE = Path(__file__).with_name("labels.yaml")
PATCHED = "patched"  # key of record.extras with the names of the patches that were applied
ANY = "any"  # dataset: of every data set
UNLABELLED = "unlabelled"  # set: {label: unlabelled}
UNKNOWN = "unknown"  # set: {malignancy: unknown}, and so for the other fields
MATCHED = ("image_id", "native_class", "subclass", "matched_subclass", "malignancy", "description", "label",
           "reference_label")  # fmt: skip
SET = ("label", "native_class", "subclass", "matched_subclass", "malignancy", "description")
KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "name": (str, "text"),
    "dataset": ((str, list), "a name or a list of them"),
    "match": (dict, "a mapping"),
    "ids": (list, "a list"),
    "set": (dict, "a mapping"),
    "reason": (str, "text"),
    "expected": (dict, "a mapping"),
}


@dataclass(frozen=True)
class Patch:
    """One correction.

    It applies to records of the data sets whose fields match, by name or by a pattern with `*`; `ids` names
    records instead of, or besides that. `values` are set as they stand here: the label as its integer.
    `expected` are the numbers of rows in the complete published tables, by data set.
    """

    name: str
    version: int
    reason: str
    datasets: tuple[str, ...]
    match: dict[str, str] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    values: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)


def load_patches(names: Iterable[str], folder: Path | None = None) -> list[Patch]:
    """The patches of all files `names`; "builtin" is our own, others are relative to `folder`.

    Raises `ConfigError` for a file that is missing, cannot be read, or says what cannot be meant.
    """
    patches: list[Patch] = []
    for name in names:
        path = FILE if name == BUILTIN else (folder or Path()) / name
        patches += _read(path)
    twice = sorted({p.name for p in patches if [q.name for q in patches].count(p.name) > 1})
    if twice:
        raise ConfigError(f"patches: {', '.join(twice)}: more than one patch of this name")
    return patches


def _read(path: Path) -> list[Patch]:
    if not path.is_file():
        raise ConfigError(f"patches: {path} not found; `{BUILTIN}` is the file that comes with mmfm")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"patches: cannot read {path}: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
        raise ConfigError(f"patches: {path} needs `version`, a whole number, and `patches`, a list")
    entries = content.get("patches")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"patches: {path}: `patches` must be a list of patches")
    return [_patch(entry, content["version"], path) for entry in entries]


def _patch(entry: dict[str, Any], version: int, path: Path) -> Patch:
    where = f"patches: {path}, {entry.get('name', 'a patch without name')}"
    _check(entry, where)
    datasets = entry["dataset"] if isinstance(entry["dataset"], list) else [entry["dataset"]]
    return Patch(
        name=entry["name"],
        version=version,
        reason=" ".join(entry["reason"].split()),
        datasets=tuple(map(str, datasets)),
        match={name: str(value) for name, value in entry.get("match", {}).items()},
        ids=frozenset(map(str, entry.get("ids", ()))),
        values={name: _value(name, str(value), where) for name, value in entry["set"].items()},
        expected=dict(entry.get("expected", {})),
    )


def _check(entry: dict[str, Any], where: str) -> None:
    """Refuse a patch that lacks something, or has something that is not read."""
    missing = [key for key in ("name", "dataset", "set", "reason") if not entry.get(key)]
    if missing or not (entry.get("match") or entry.get("ids")):
        raise ConfigError(f"{where}: lacks {', '.join(missing or ['match or ids'])}")
    for key, (kind, words) in KINDS.items():
        if key in entry and not isinstance(entry[key], kind):
            raise ConfigError(f"{where}: {key} must be {words}")
    strange = sorted(entry.keys() - KINDS.keys())
    strange += [f"match.{name}" for name in entry.get("match", {}) if name not in MATCHED]
    strange += [f"set.{name}" for name in entry["set"] if name not in SET]
    if strange:
        raise ConfigError(
            f"{where}: {', '.join(strange)} is not read. Keys: {', '.join(KINDS)}; "
            f"match: {', '.join(MATCHED)}; set: {', '.join(SET)}"
        )


def _value(name: str, value: str, where: str) -> Any:
    """What a record gets. Raises `ConfigError` for a word that the taxonomy does not have."""
    if name == "label":
        if value == UNLABELLED:
            return UNKNOWN_LABEL
        try:
            return label_of(value)
        except KeyError:
            raise ConfigError(
                f"{where}: label {value!r} is not one of {', '.join(CODES)}, {UNLABELLED}"
            ) from None
    if value == UNKNOWN:
        return ""
    if name == "malignancy" and value not in MALIGNANCIES:
        raise ConfigError(f"{where}: malignancy {value!r} is not one of {', '.join(MALIGNANCIES)}, {UNKNOWN}")
    if name == "matched_subclass":
        named = subclass_of(value)
        if named is None:
            raise ConfigError(f"{where}: {value!r} is no subclass of the taxonomy")
        return named.name
    return value
