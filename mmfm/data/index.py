"""Where each sample lies in its tar, and reading it there: one Parquet file beside every shard."""

from __future__ import annotations

import json
import os
import tarfile
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmfm.data.manifest import Manifest
from mmfm.errors import DataError
from mmfm.files import write_atomically
from mmfm.records import Record

IMAGE_EXTENSION = "jpg"
JSON_EXTENSION = "json"
TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
OPEN_FILES = 64  # tars kept open by a `Split`

_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image_offset", pa.int64()),
        ("image_size", pa.int64()),
        ("json_offset", pa.int64()),
        ("json_size", pa.int64()),
        ("label", pa.int32()),
        ("dataset", pa.string()),
        ("domain", pa.string()),
        ("image_crc", pa.int64()),
        ("json_crc", pa.int64()),
    ]
)


class CorruptSample(DataError):  # noqa: N818 - it names the sample, not the act
    """A sample whose bytes cannot be used. `kind` is a short word for counting, `key` names it."""

    def __init__(self, kind: str, key: str, detail: str = "") -> None:
        super().__init__(f"sample {key} is {kind}{f' ({detail})' if detail else ''}: run `mmfm data verify`")
        self.kind = kind
        self.key = key
        self.detail = detail

    def __reduce__(self) -> tuple[type[CorruptSample], tuple[str, str, str]]:
        """Pickled by what it was made from, as it travels between processes."""
        return type(self), (self.kind, self.key, self.detail)


@dataclass
class ShardIndex:
    """Columns of one or more shards, one row per sample in tar order.

    Offsets and sizes are int64 bytes of the data of a member (not of its tar header); `label` is int32, -1
    for unknown; the CRCs are `zlib.crc32` of the data, as int64; `key`, `dataset`, `domain` hold str.
    """

    key: np.ndarray
    image_offset: np.ndarray
    image_size: np.ndarray
    json_offset: np.ndarray
    json_size: np.ndarray
    label: np.ndarray
    dataset: np.ndarray
    domain: np.ndarray
    image_crc: np.ndarray
    json_crc: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def from_table(cls, table: pa.Table) -> ShardIndex:
        """Take the columns of a table with the index's schema."""
        return cls(**{name: table.column(name).to_numpy() for name in _SCHEMA.names})

    def to_table(self) -> pa.Table:
        """The columns as a table, ready for Parquet."""
        columns = [pa.array(getattr(self, spec.name), type=spec.type) for spec in _SCHEMA]
        return pa.Table.from_arrays(columns, schema=_SCHEMA)


def read_index(path: str | Path) -> ShardIndex:
    """Read one index file. Raises `DataError` when it is missing or damaged."""
    return ShardIndex.from_table(_read_table(Path(path)))


def write_index(path: str | Path, index: ShardIndex) -> None:
    """Write one index file at once (by rename). The same rows give the same bytes."""
    buffer = pa.BufferOutputStream()
    pq.write_table(index.to_table(), buffer, compression="zstd")
    write_atomically(Path(path), buffer.getvalue().to_pybytes())


def build_index(tar_path: str | Path) -> ShardIndex:
    """Scan a tar of `KEY.jpg` + `KEY.json` members and note where each sample lies.

    Raises `DataError` for an unreadable tar, a sample without one of its two members, a member that is there
    twice, or a JSON member that is no record.
    """
    rows: dict[str, dict[str, object]] = {}
    try:
        with tarfile.open(tar_path) as tar:
            for member in tar:
                if member.isfile():
                    data = tar.extractfile(member).read()  # type: ignore[union-attr]
                    _add_member(rows, member, data, tar_path)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"cannot read the tar {tar_path}: {error}") from error
    for key, row in rows.items():
        for extension, column in ((IMAGE_EXTENSION, "image_offset"), (JSON_EXTENSION, "json_offset")):
            if column not in row:
                raise DataError(f"{tar_path}: sample {key} has no {key}.{extension}")
    return ShardIndex.from_table(pa.Table.from_pylist(list(rows.values()), schema=_SCHEMA))


def _add_member(
    rows: dict[str, dict[str, object]], member: tarfile.TarInfo, data: bytes, tar_path: str | Path
) -> None:
    key, _, extension = member.name.partition(".")
    row = rows.setdefault(key, {"key": key})
    column = {IMAGE_EXTENSION: "image", JSON_EXTENSION: "json"}.get(extension)
    if column is None:
        raise DataError(f"{tar_path}: unexpected member {member.name}")
    if f"{column}_offset" in row:
        raise DataError(f"{tar_path}: member {member.name} is there twice")
    row[f"{column}_offset"] = member.offset_data
    row[f"{column}_size"] = len(data)
    row[f"{column}_crc"] = zlib.crc32(data)
    if column == "json":
        try:
            record = Record.from_json(json.loads(data))
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{tar_path}: {member.name} is no record: {error}") from error
        row.update(label=record.label, dataset=record.dataset, domain=record.domain)


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"index {path} is missing: run `mmfm data verify {path.parent.parent}`")
    try:
        table = pq.read_table(path)
        return table.select(_SCHEMA.names).cast(_SCHEMA)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(
            f"index {path} is damaged: run `mmfm data verify {path.parent.parent}` ({error})"
        ) from error


def read_member(fd: int, key: str, offset: int, size: int, crc: int) -> bytes:
    """The data of a member of an open tar, as its index tells where it lies and which CRC-32 it has.

    Raises `CorruptSample`, which names the sample `key`, for missing, truncated or altered bytes.
    """
    try:
        data = os.pread(fd, size, offset)
    except OSError as error:
        raise CorruptSample("unreadable", key, str(error)) from error
    if len(data) != size:
        raise CorruptSample("truncated", key, f"{len(data)} of {size} bytes")
    if zlib.crc32(data) != crc:
        raise CorruptSample("altered", key, "its checksum differs")
    return data


class _OpenTar:
    """A file descriptor that closes when the last reader lets go of it, so that eviction is thread safe."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class Split:
    """All samples of a split, numbered in manifest order; reads any of them by number, from any thread.

    Columns are those of `ShardIndex` over all shards (`keys` for `key`), plus `shard` (int32), the position
    of the sample's tar in `shard_paths`.
    """

    def __init__(self, folder: Path, name: str, manifest: Manifest) -> None:
        info = manifest.splits[name]
        self.folder = folder
        self.name = name
        self.manifest = manifest
        self.shard_paths = [folder / shard.path for shard in info.shards]
        tables = [_read_table(folder / shard.index) for shard in info.shards]
        for shard, table in zip(info.shards, tables, strict=True):
            if table.num_rows != shard.samples:
                raise DataError(
                    f"index {folder / shard.index} has {table.num_rows} samples, the manifest says "
                    f"{shard.samples}: run `mmfm data verify {folder}`"
                )
        index = ShardIndex.from_table(pa.concat_tables(tables))
        self.keys = index.key
        self.image_offset, self.image_size, self.image_crc = (
            index.image_offset,
            index.image_size,
            index.image_crc,
        )
        self.json_offset, self.json_size, self.json_crc = index.json_offset, index.json_size, index.json_crc
        self.label, self.dataset, self.domain = index.label, index.dataset, index.domain
        self.shard = np.repeat(np.arange(len(tables), dtype=np.int32), [table.num_rows for table in tables])
        self._open: OrderedDict[int, _OpenTar] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: str | Path, split: str) -> Split:
        """Open a split. Raises `DataError` for a missing folder, split or shard, and for an empty split."""
        folder = Path(folder)
        manifest = Manifest.read(folder)
        for shard in manifest.filled(split, folder).shards:
            if not (folder / shard.path).is_file():
                raise DataError(f"shard {folder / shard.path} is missing: run `mmfm data verify {folder}`")
        return cls(folder, split, manifest)

    def __len__(self) -> int:
        return len(self.keys)

    def read_image(self, sample: int) -> bytes:
        """Encoded image of a sample. Raises `CorruptSample` for missing, truncated or altered bytes."""
        return self._read(sample, self.image_offset[sample], self.image_size[sample], self.image_crc[sample])

    def read_record(self, sample: int) -> Record:
        """Record of a sample. Raises `CorruptSample` for missing, truncated or altered bytes."""
        data = self._read(sample, self.json_offset[sample], self.json_size[sample], self.json_crc[sample])
        try:
            return Record.from_json(json.loads(data))
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptSample("no record", self.keys[sample], str(error)) from error

    def close(self) -> None:
        """Let go of the open tars; a later read opens them again."""
        with self._lock:
            self._open.clear()

    def _read(self, sample: int, offset: int, size: int, crc: int) -> bytes:
        try:
            tar = self._tar(int(self.shard[sample]))
        except OSError as error:
            raise CorruptSample("unreadable", self.keys[sample], str(error)) from error
        return read_member(tar.fd, self.keys[sample], int(offset), int(size), int(crc))

    def _tar(self, shard: int) -> _OpenTar:
        with self._lock:
            tar = self._open.get(shard)
            if tar is None:
                tar = self._open[shard] = _OpenTar(self.shard_paths[shard])
                while len(self._open) > OPEN_FILES:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
            return tar
