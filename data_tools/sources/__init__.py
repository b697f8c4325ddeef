"""Sources: from the files of a data set to records, with a reason for every row that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from data_tools.config import SourceConfig
from data_tools.patches import Patch, apply_patches
from data_tools.sources import (
    derm7pt,
    folders,
    ham10000,
    isic,
    milk10k,
    pad_ufes20,
    reference,
    table,
    tables,
)
from data_tools.sources.adapter import Adapter, read
from data_tools.sources.base import Reject, SourceRecord, SourceResult
from data_tools.sources.groups import add_groups
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say

__all__ = ["ADAPTERS", "Reject", "SourceRecord", "SourceResult", "read_source"]

ADAPTERS: dict[str, Callable[[SourceConfig], Adapter]] = {
    "table": table.adapter,
    "folder": folders.folder,
    "isic": isic.adapter,
    "reference": reference.adapter,
    "bcn20000": tables.bcn20000,
    "derm12345": tables.derm12345,
    "derm7pt": derm7pt.adapter,
    "dermnet": folders.dermnet,
    "fitzpatrick17k": tables.fitzpatrick17k,
    "fluo_sc": folders.fluo_sc,
    "ham10000": ham10000.adapter,
    "milk10k": milk10k.adapter,
    "mra_midas": tables.mra_midas,
    "pad_ufes20": pad_ufes20.adapter,
    "sd198": folders.sd198,
    "skinl2": folders.skinl2,
}
NAMES: dict[str, Callable[[SourceConfig], str]] = {  # where the kind is not the data set's name
    "table": lambda cfg: "",
    "folder": lambda cfg: Path(cfg.root).name,
    "isic": isic.dataset_of,
    "reference": reference.dataset_of,
}


def read_source(cfg: SourceConfig, root: Path, patches: Sequence[Patch] = ()) -> SourceResult:
    """Read one source, whose folder is `root / cfg.root`, and correct its records by `patches`.

    Rows with an unknown label, a missing or empty image file or an id that came before are rejects. What was
    not understood is said; how many rows each patch met stands in the result. Raises `DataError` when a
    folder, a file or a column is missing, `ConfigError` when the recipe cannot be meant.
    """
    if cfg.kind not in ADAPTERS:
        raise ConfigError(f"source kind {cfg.kind!r} is not one of {', '.join(ADAPTERS)}")
    dataset = cfg.dataset or NAMES.get(cfg.kind, lambda cfg: cfg.kind)(cfg)
    if not dataset:
        raise ConfigError(f"a {cfg.kind} source needs `dataset`, the name that its records carry")
    folder = root / cfg.root
    if not folder.is_dir():
        found = sorted(p.name for p in root.iterdir())[:12] if root.is_dir() else []
        there = f"{root} holds: {', '.join(found)}" if found else f"{root} is no folder with data; set `root`"
        raise DataError(f"source {dataset}: folder {folder} not found. {there}")
    adapter = ADAPTERS[cfg.kind](cfg)
    result = read(adapter, cfg, folder, dataset)
    if cfg.groups:
        add_groups(result.known, folder / cfg.groups, dataset)
    result.patched, result.whole = apply_patches(result.known, patches), not cfg.where
    for line in adapter.review(result.known):
        say(f"{dataset}: {line}")
    return result
