"""`dataset.json`: what a folder of shards holds. Written last, so its presence means a finished folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmfm.errors import DataError
from mmfm.files import write_atomically

MANIFEST_NAME = "dataset.json"
REJECTS_NAME = "rejects.csv"  # beside it: rows that were not packed
SCHEMA = 1


@dataclass
class ShardInfo:
    """One tar and its index. Paths are relative to the folder of the manifest."""

    path: str
    samples: int
    bytes: int
    sha256: str
    index: str
    index_sha256: str


@dataclass
class DomainCounts:
    """True counts of one domain of one dataset: samples, and samples by class code."""

    samples: int
    labels: dict[str, int] = field(default_factory=dict)


@dataclass
class SplitInfo:
    """The shards of one split, and its counts by dataset and domain."""

    samples: int = 0
    shards: list[ShardInfo] = field(default_factory=list)
    by_dataset: dict[str, dict[str, DomainCounts]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SplitInfo:
        """Rebuild from plain JSON. Raises `KeyError` or `TypeError` where the shape is another."""
        counts = {
            dataset: {domain: DomainCounts(**values) for domain, values in domains.items()}
            for dataset, domains in data["by_dataset"].items()
        }
        return cls(data["samples"], [ShardInfo(**shard) for shard in data["shards"]], counts)


@dataclass
class Manifest:
    """The whole of `dataset.json`."""

    created_by: str = ""
    config_hash: str = ""
    notes: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: dict[str, SplitInfo] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    split_rule: dict[str, Any] = field(default_factory=dict)
    dedup: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)  # of the notes: version, and their counts by name
    # Folders of shards that samples were copied from: name, folder, sha256 of its manifest, what was taken.
    origins: list[dict[str, Any]] = field(default_factory=list)
    schema: int = SCHEMA

    @classmethod
    def read(cls, folder: str | Path) -> Manifest:
        """Read the manifest of a folder. Raises `DataError` when there is none or it is unusable."""
        path = Path(folder) / MANIFEST_NAME
        data = _read_json(path)
        if data.get("schema") != SCHEMA:
            raise DataError(
                f"{path} has schema {data.get('schema')!r}, this version of mmfm reads schema {SCHEMA}: "
                "write the shards again with `mmfm data shard`"
            )
        try:
            splits = {name: SplitInfo.from_json(split) for name, split in data["splits"].items()}
            return cls(**{**data, "splits": splits})
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} is damaged ({type(error).__name__}: {error}): write the shards again with "
                "`mmfm data shard`"
            ) from error

    def filled(self, split: str, folder: str | Path) -> SplitInfo:
        """A split that has samples. Raises `DataError` that names `folder` and the splits that have some."""
        info = self.splits.get(split)
        if info is None or info.samples == 0:
            there = ", ".join(f"{name} ({s.samples})" for name, s in self.splits.items() if s.samples)
            raise DataError(
                f"split {split!r} of {folder} has no samples. Splits with samples: {there or 'none'}"
            )
        return info

    def digest(self, split: str) -> str:
        """sha256 over the shards of a split, "" for a split that is not there: equal for equal samples."""
        shards = self.splits[split].shards if split in self.splits else []
        return (
            hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest() if shards else ""
        )

    def write(self, folder: str | Path) -> Path:
        """Write `dataset.json` into `folder` at once (by rename) and return its path."""
        path = Path(folder) / MANIFEST_NAME
        write_atomically(path, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        return path


def _read_json(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise DataError(f"no folder of shards at {path.parent}: write one with `mmfm data shard`")
    if not path.is_file():
        raise DataError(f"no {MANIFEST_NAME} in {path.parent}: {_unfinished(path.parent)}")
    try:
        data = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}): run `mmfm data shard` again") from error
    if not isinstance(data, dict):
        raise DataError(f"{path} holds no JSON object: run `mmfm data shard` again")
    return data


def _unfinished(folder: Path) -> str:
    """Why a folder may have no manifest."""
    rejects = folder / REJECTS_NAME
    if rejects.is_file():
        return (
            "writing it was refused as too many rows cannot be used (max_reject_share), or was interrupted. "
            f"{rejects} lists those rows; run the same command again, it says what is wrong or goes on"
        )
    return "it is no folder of shards, or writing it was interrupted (run the same command again, it resumes)"
