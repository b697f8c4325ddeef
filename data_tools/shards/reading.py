"""The shards of a folder one by one, and the refused notes beside them, for those who go through all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.shards.plan import REFUSED_NAME
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


def read_refused(folder: Path) -> Iterator[dict[str, Any]]:
    """The refused notes beside shards: at least `key`, `note`, `text` and `reasons`; none without the file.

    Raises `DataError` for a line that is something else.
    """
    path = folder / REFUSED_NAME
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            line = _refused_note(text)
            if line is None:
                raise DataError(
                    f"{path}, line {number}: no refused note; write the shards again, or delete that file"
                )
            yield line


def _refused_note(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    sound = isinstance(line, dict) and {"key", "note", "text", "reasons"} <= line.keys()
    return line if sound else None
