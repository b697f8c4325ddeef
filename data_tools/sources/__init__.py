"""Sources: from the files of a data set to records, with a reason for every row that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.sources import ham10000, milk10k, pad_ufes20, table
from data_tools.sources.base import Reject, SourceRecord, SourceResult
from mmfm.errors import ConfigError, DataError

__all__ = ["READERS", "Reject", "SourceRecord", "SourceResult", "read_source"]

READERS: dict[str, Callable[[SourceConfig, Path, str], SourceResult]] = {
    "table": table.read,
    "ham10000": ham10000.read,
    "milk10k": milk10k.read,
    "pad_ufes20": pad_ufes20.read,
}


def read_source(cfg: SourceConfig, root: Path) -> SourceResult:
    """Read one source, whose folder is `root / cfg.root`.

    Rows with an unknown label, a missing or empty image file or an id that came before are rejects. Raises
    `DataError` when a folder, a file or a column is missing, `ConfigError` when the recipe cannot be meant.
    """
    if cfg.kind not in READERS:
        raise ConfigError(f"source kind {cfg.kind!r} is not one of {', '.join(READERS)}")
    dataset = cfg.dataset or ("" if cfg.kind == "table" else cfg.kind)
    if not dataset:
        raise ConfigError("a table source needs `dataset`, the name that its records carry")
    folder = root / cfg.root
    if not folder.is_dir():
        found = sorted(p.name for p in root.iterdir())[:12] if root.is_dir() else []
        there = f"{root} holds: {', '.join(found)}" if found else f"{root} is no folder with data; set `root`"
        raise DataError(f"source {dataset}: folder {folder} not found. {there}")
    return READERS[cfg.kind](cfg, folder, dataset)
