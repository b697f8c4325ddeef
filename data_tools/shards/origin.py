"""Folders of shards that others are made from, and what is known of each of their samples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_tools.shards.reading import OneShard, shards_of
from mmfm.data.index import CorruptSample
from mmfm.data.manifest import MANIFEST_NAME, Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.files import file_digest
from mmfm.progress import track
from mmfm.records import Record

NAMED = re.compile(r"(?P<name>\w[\w.-]*)=(?P<folder>.+)")


@dataclass(frozen=True)
class Origin:
    """A finished folder of shards, by a short name. `digest` is the SHA-256 of its manifest."""

    name: str
    folder: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, name: str, folder: Path) -> Origin:
        """Raises `DataError` where there is no finished folder of shards."""
        return cls(name, folder, Manifest.read(folder), file_digest(folder / MANIFEST_NAME))


@dataclass(frozen=True)
class Stored:
    """Where a sample lies: its tar, and offset, size and CRC-32 of its two members."""

    key: str
    tar: str
    image: tuple[int, int, int]
    record: tuple[int, int, int]


@dataclass
class Entry:
    """A sample of an origin, its record under the names that it will have, but without notes and extras."""

    origin: int  # its place in the list of origins
    split: str
    record: Record
    stored: Stored

    @property
    def picture(self) -> tuple[int, int]:
        """Size and CRC-32 of its image: equal for equal bytes."""
        return self.stored.image[1:]


def open_origins(words: Sequence[str]) -> list[Origin]:
    """Origins from `FOLDER` or `NAME=FOLDER`; without a name the folder's last part serves.

    Raises `ConfigError` for a name that is there twice, `DataError` for what is no folder of shards.
    """
    origins: list[Origin] = []
    for word in words:
        named = None if Path(word).is_dir() else NAMED.fullmatch(word)
        folder = Path(named["folder"] if named else word)
        name = named["name"] if named else folder.resolve().name
        if any(name == other.name for other in origins):
            raise ConfigError(f"two folders are called {name!r}: name them, as in first={words[0]}")
        origins.append(Origin.open(name, folder))
    return origins


def read_entries(origins: Sequence[Origin], damaged: Counter[int] | None = None) -> list[Entry]:
    """Every sample of all origins, in their order.

    With `damaged` all images are read as well, and samples whose bytes are not those that were written are
    left out and counted there, by origin. Raises `DataError` for a damaged record without it, and for a shard
    whose tar or index is missing.
    """
    shards = [
        (number, shard)
        for number, origin in enumerate(origins)
        for shard in shards_of(origin.folder, origin.manifest)
    ]
    what = "reading records" if damaged is None else "checking samples"
    return [entry for number, shard in track(shards, what) for entry in _entries(number, shard, damaged)]


def damage(tar: Path, folder: Path, error: CorruptSample) -> DataError:
    """The error for a sample that cannot be copied, with the ways out."""
    return DataError(f"{tar}: {error} {folder}, or leave out such samples with --drop-damaged")


def _entries(origin: int, shard: OneShard, damaged: Counter[int] | None) -> Iterator[Entry]:
    split = shard.open()
    for row, key in enumerate(split.keys):
        try:
            record = split.read_record(row)
            if damaged is not None:
                split.read_image(row)
        except CorruptSample as error:
            if damaged is None:
                raise damage(shard.folder / shard.info.path, shard.folder, error) from error
            damaged[origin] += 1
            continue
        stored = Stored(
            str(key),
            str(split.shard_paths[0]),
            (int(split.image_offset[row]), int(split.image_size[row]), int(split.image_crc[row])),
            (int(split.json_offset[row]), int(split.json_size[row]), int(split.json_crc[row])),
        )
        light = replace(record, notes={}, extras={}, description="")
        yield Entry(origin, shard.split, light, stored)
