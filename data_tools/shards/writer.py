"""Writing one tar with its index, so that it is either there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from data_tools.config import PackConfig, PrepareConfig
from data_tools.shards.images import UnusableImage, jpeg_bytes
from data_tools.shards.plan import PARTS, Sample, ShardJob
from mmfm.data.index import IMAGE_EXTENSION, JSON_EXTENSION, build_index, write_index
from mmfm.data.manifest import ShardInfo
from mmfm.errors import DataError
from mmfm.files import file_digest, write_atomically
from mmfm.records import Record

TAR_SUFFIX = ".tar"
INDEX_SUFFIX = ".idx.parquet"
OWNER = "mmfm"
READ_ONLY = 0o444


class Job(Protocol):
    """A tar that is to be written: its path below the output folder, without suffix, and its split."""

    name: str
    split: str

    @property
    def newest_input(self) -> float:
        """Time of the last change to what it is made from, in seconds since the epoch."""


@dataclass
class PackReject:
    """A planned sample whose image cannot be packed; all but `reason` are those of the `Sample`."""

    source: int
    row: int
    file: str
    reason: str
    table: str = ""


@dataclass
class ShardReport:
    """What became of a `ShardJob`: its files (none if every image was unusable), its notes, its rejects."""

    split: str
    info: ShardInfo | None
    rejects: list[PackReject] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)  # how many of each name are in the tar

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ShardReport:
        """Rebuild from plain JSON. Raises `KeyError` or `TypeError` where the shape is another."""
        info = ShardInfo(**data["info"]) if data["info"] else None
        rejects = [PackReject(**reject) for reject in data["rejects"]]
        return cls(data["split"], info, rejects, dict(data["notes"]))


def write_shard(job: ShardJob, output: Path, pack: PackConfig, preparation: PrepareConfig) -> ShardReport:
    """Write the tar and the index of a job below `output`, then a report that says that it is complete.

    The bytes depend on the job, `pack` and `preparation` alone. Everything is written under a temporary
    name and renamed, the report last, so a run that was killed leaves no half-written shard behind.
    """

    def fill(tar: Path) -> ShardReport:
        rejects = _write_tar(job.samples, tar, pack, preparation)
        return ShardReport(job.split, None, rejects, _count_notes(job.samples, rejects))

    return write_whole(job, output, fill)


def write_whole(job: Job, output: Path, fill: Callable[[Path], ShardReport]) -> ShardReport:
    """Have a tar filled, and put it with its index and its report below `output`, each whole or not at all.

    `fill(path)` writes the tar and returns the report but for `info`. A tar without samples is not kept.
    """
    with tempfile.TemporaryDirectory(dir=output / PARTS) as folder:
        tar, index_path = Path(folder, "shard" + TAR_SUFFIX), Path(folder, "shard" + INDEX_SUFFIX)
        report = fill(tar)
        index = build_index(tar)
        if len(index):
            write_index(index_path, index)
            report.info = _info(job.name, len(index), tar, index_path)
            _move(tar, output / report.info.path)
            _move(index_path, output / report.info.index)
    write_atomically(report_path(output, job), json.dumps(asdict(report)))
    return report


def finished_report(job: Job, output: Path) -> ShardReport | None:
    """The report of a job that an earlier run completed and whose inputs have not changed since, or None."""
    path = report_path(output, job)
    try:
        report = ShardReport.from_json(json.loads(path.read_text()))
        if path.stat().st_mtime < job.newest_input:
            return None
        if report.info and (output / report.info.path).stat().st_size != report.info.bytes:
            return None
        if report.info and not (output / report.info.index).is_file():
            return None
        return report
    except (OSError, ValueError, KeyError, TypeError):
        return None


def report_path(output: Path, job: Job) -> Path:
    """Where the report of a job lies while the folder is being written."""
    return output / PARTS / f"{job.name}.json"


def _write_tar(
    samples: list[Sample], tar: Path, pack: PackConfig, preparation: PrepareConfig
) -> list[PackReject]:
    """Write the members of usable samples and return the others."""
    rejects = []
    with new_tar(tar) as write:
        for sample in samples:
            try:
                image = jpeg_bytes(sample.image, pack, preparation)
            except UnusableImage as error:
                rejects.append(PackReject(sample.source, sample.row, sample.file, str(error), sample.table))
                continue
            write(sample.record.key, image, record_bytes(sample.record))
    return rejects


@contextmanager
def new_tar(path: Path) -> Iterator[Callable[[str, bytes, bytes], None]]:
    """A function of key, JPEG and JSON that adds a sample to a new tar, which is on disk when it closes."""
    from webdataset import TarWriter  # here, as it imports torch: seconds that reading shards can do without

    with path.open("wb") as file:
        with TarWriter(file, user=OWNER, group=OWNER, mode=READ_ONLY, mtime=0, encoder=False) as tar:

            def write(key: str, image: bytes, record: bytes) -> None:
                tar.write({"__key__": key, IMAGE_EXTENSION: image, JSON_EXTENSION: record})

            yield write
        file.flush()
        os.fsync(file.fileno())


def _count_notes(samples: list[Sample], rejects: list[PackReject]) -> dict[str, int]:
    """Notes by name of the samples that were not rejected."""
    rejected = {(reject.source, reject.file) for reject in rejects}  # a row may have several pictures
    kept = (sample for sample in samples if (sample.source, sample.file) not in rejected)
    return dict(Counter(name for sample in kept for name in sample.record.notes))


def record_bytes(record: Record) -> bytes:
    """A record as the bytes of its JSON member. Raises `DataError` for values that JSON cannot hold."""
    try:
        text = json.dumps(record.to_json(), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"record {record.key} cannot be written as JSON: {error}") from error
    return text.encode()


def _info(name: str, samples: int, tar: Path, index: Path) -> ShardInfo:
    return ShardInfo(
        path=name + TAR_SUFFIX,
        samples=samples,
        bytes=tar.stat().st_size,
        sha256=file_digest(tar),
        index=name + INDEX_SUFFIX,
        index_sha256=file_digest(index),
    )


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
