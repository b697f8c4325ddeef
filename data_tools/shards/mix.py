"""`mix`: several folders of shards in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

from data_tools.shards.choose import keep_where, settle_clashes, settle_conflicts, tell_doubles, thin
from data_tools.shards.merged import finish
from data_tools.shards.origin import open_origins
from data_tools.shards.repack import Edit, Selection, repack
from mmfm.data.index import SPLITS, TRAIN
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError
from mmfm.progress import say

ON_CLASH = ("error", "first", "prefix")


@dataclass(frozen=True)
class Wanted:
    """What of the folders goes into the new one."""

    where: Mapping[str, Sequence[str]] = field(default_factory=dict)  # record field -> values to keep
    notes: tuple[str, ...] | None = None  # notes to keep, None for all
    weights: Mapping[str, Fraction] = field(default_factory=dict)  # folder's name -> share of the samples
    take: Mapping[str, int] = field(default_factory=dict)  # folder's name -> most samples
    thinned: Sequence[str] = (TRAIN,)  # the splits that weights and take thin out
    on_clash: str = "error"  # of ON_CLASH: what happens to equal keys
    drop_conflicts: bool = False
    drop_damaged: bool = False
    seed: int = 0  # of what weights and take choose


def mix(
    folders: Sequence[str],
    output: Path,
    wanted: Wanted,
    samples_per_shard: int,
    shuffle_seed: int = 0,
    workers: int = 0,
) -> Manifest:
    """Copy samples of several folders of shards into one and return its manifest.

    `folders` are FOLDER or NAME=FOLDER. Samples stay in their split. Raises `DataError` for equal keys and
    for lesions on two sides of the split unless `wanted` says what is to become of them, `ConfigError` for
    wishes that cannot be; else as `repack`. Lesions and patients are compared as by `group_ids`: those whose
    id has no letter within their dataset, others over all folders.
    """
    if wanted.weights and wanted.take:
        raise ConfigError("give weights or numbers to take, not both")
    origins = open_origins(folders)
    _check_notes(wanted, [origin.manifest for origin in origins])
    selection = Selection.read(origins, Edit(notes=wanted.notes), wanted.drop_damaged)
    keep_where(selection, wanted.where)
    settle_clashes(selection, wanted.on_clash)
    settle_conflicts(selection, wanted.drop_conflicts)
    thin(selection, wanted.thinned, wanted.weights, wanted.take, wanted.seed)
    tell_doubles(selection)
    settings = {
        "command": "mix",
        "where": {name: list(values) for name, values in wanted.where.items()},
        "notes": list(wanted.notes) if wanted.notes is not None else None,
        "weights": {name: str(weight) for name, weight in wanted.weights.items()},
        "take": dict(wanted.take),
        "thinned": [split for split in SPLITS if split in wanted.thinned],
        "on_clash": wanted.on_clash,
        "drop_conflicts": wanted.drop_conflicts,
        "drop_damaged": wanted.drop_damaged,
        "seed": wanted.seed,
    }
    end = partial(finish, output, selection)
    return repack(output, selection, settings, samples_per_shard, shuffle_seed, end, workers)


def _check_notes(wanted: Wanted, manifests: Sequence[Manifest]) -> None:
    """Notes that no folder has are a mistake; notes that only some have are worth a word."""
    there = {name for manifest in manifests for name in manifest.notes}
    for name in wanted.notes or ():
        if name not in there:
            raise ConfigError(
                f"no folder has notes {name!r}. There are: {', '.join(sorted(there)) or 'none'}"
            )
    partly = [name for name in sorted(there) if any(name not in manifest.notes for manifest in manifests)]
    partly = [name for name in partly if wanted.notes is None or name in wanted.notes]
    if partly:
        say(f"not every folder has notes {', '.join(partly)}")
