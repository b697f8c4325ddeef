"""`reshard`: the samples of a folder in shards of another size or order, or of some splits only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_tools.shards.choose import check_splits
from data_tools.shards.merged import finish
from data_tools.shards.origin import Origin
from data_tools.shards.repack import Edit, Selection, repack
from mmfm.data.index import SPLITS
from mmfm.data.manifest import Manifest


def reshard(
    folder: Path,
    output: Path,
    samples_per_shard: int,
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
    workers: int = 0,
    drop_damaged: bool = False,
) -> Manifest:
    """Copy the samples of `splits` into tars of `samples_per_shard` and return the new manifest.

    Images and records are copied byte for byte. With seed 0 samples have the order of `mmfm data shard`, so
    that the same shard size gives the same tars; another seed mixes them anew. `drop_damaged` leaves out
    samples whose bytes are not those that were written. Raises `ConfigError` for an unknown split, else as
    `repack`.
    """
    check_splits(splits)
    origin = Origin.open(folder.resolve().name, folder)
    selection = Selection.read([origin], Edit(), drop_damaged)
    selection.drop([entry for entry in selection.entries if entry.split not in splits], "split")
    settings = {
        "command": "reshard",
        "splits": [split for split in SPLITS if split in splits],
        "drop_damaged": drop_damaged,
    }
    end = partial(finish, output, selection)
    return repack(output, selection, settings, samples_per_shard, seed, end, workers)
