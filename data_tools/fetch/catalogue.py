"""The catalogue of data sets: where each is published, under which licence, and how it is had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mmfm.errors import ConfigError

FILE = Path(__file__).with_name("datasets.yaml")
WAYS = ("files", "dataverse", "mendeley", "isic", "person")


@dataclass(frozen=True)
class RemoteFile:
    """One file to download. `checksum` is "sha256:..." or "md5:...", `into` the folder to unpack it in."""

    url: str
    name: str
    size: int | None = None
    checksum: str = ""
    unpack: bool = False
    into: str = ""
    collection: int = 0  # of the ISIC archive: `url` is its page, the download's address is made on request


@dataclass(frozen=True)
class DatasetEntry:
    """A data set of the catalogue; `datasets.yaml` tells what the fields mean."""

    name: str
    title: str
    license: str
    page: str
    size: str
    how: str
    id: str = ""
    version: int = 1
    collections: dict[int, str] = field(default_factory=dict)
    files: tuple[RemoteFile, ...] = ()
    only: tuple[str, ...] = ()  # patterns of the files that are wanted, of a whole record
    checksums: dict[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    source: dict[str, str] = field(default_factory=dict)
    holds: tuple[str, ...] = ()

    def missing(self, folder: Path) -> list[str]:
        """What the complete data set holds and `folder` does not."""
        return [pattern for pattern in self.holds if next(folder.glob(pattern), None) is None]

    def recipe(self) -> str:
        """The line of a data recipe that reads it; "" where no source does."""
        words = ", ".join(f"{key}: {value}" for key, value in {**self.source, "root": self.name}.items())
        return f"- {{{words}}}" if self.source else ""


@cache
def catalogue() -> dict[str, DatasetEntry]:
    """All data sets by name."""
    entries = [_entry(raw) for raw in yaml.safe_load(FILE.read_text(encoding="utf-8"))["datasets"]]
    return {entry.name: entry for entry in entries}


def entries_of(names: Sequence[str]) -> list[DatasetEntry]:
    """The data sets of these names, each once. Raises `ConfigError` for a name that is not there."""
    known = catalogue()
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"no data set {name!r}: {hint}there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _entry(raw: dict[str, Any]) -> DatasetEntry:
    files = tuple(
        RemoteFile(**{"name": entry["url"].rpartition("/")[2], **entry}) for entry in raw.get("files", ())
    )
    entry = DatasetEntry(
        **{
            **raw,
            "files": files,
            **{name: tuple(raw.get(name, ())) for name in ("only", "steps", "holds")},
        }
    )
    assert entry.how in WAYS, entry
    return entry
