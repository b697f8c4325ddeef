"""The shards of a folder one by one, for those who go through all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmfm.data.index import Split
from mmfm.data.manifest import Manifest, ShardInfo, SplitInfo
from mmfm.errors import DataError


@dataclass(frozen=True)
class OneShard:
    """One shard of a folder."""

    folder: Path
    split: str
    info: ShardInfo

    def open(self) -> Split:
        """Its samples alone. Raises `DataError` for a missing tar and for an index that does not fit."""
        if not (self.folder / self.info.path).is_file():
            raise DataError(
                f"shard {self.folder / self.info.path} is missing: run `mmfm data verify {self.folder}`"
            )
        alone = Manifest(splits={self.split: SplitInfo(self.info.samples, [self.info])})
        return Split(self.folder, self.split, alone)


def shards_of(folder: Path, manifest: Manifest) -> list[OneShard]:
    """All shards of a folder, in the order of its manifest."""
    return [OneShard(folder, split, info) for split, part in manifest.splits.items() for info in part.shards]
