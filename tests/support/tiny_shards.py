"""Folders of shards made from records alone, without sources: a few milliseconds each."""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_tools.shards.plan import PARTS, REFUSED_NAME, Place, deal_tars
from data_tools.shards.summary import split_info
from data_tools.shards.writer import ShardReport, new_tar, record_bytes, write_whole
from mmfm.data.index import SPLITS
from mmfm.data.manifest import Manifest
from mmfm.records import Record


@dataclass
class Job:
    name: str
    split: str
    newest_input: float = 0.0


def jpeg(seed: int, size: tuple[int, int] = (24, 20)) -> bytes:
    """A picture of coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_tiny(
    folder: Path,
    records: Mapping[str, Sequence[Record]],
    per_shard: int = 4,
    images: Mapping[str, bytes] | None = None,
    refused: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write shards of `records` by split. `images`: bytes by key, where the drawn ones will not do."""
    (folder / PARTS).mkdir(parents=True)
    samples = [(split, record) for split in SPLITS for record in records.get(split, ())]
    reports = []
    places = [Place(split, record.dataset, record.key) for split, record in samples]
    for tar in deal_tars(places, per_shard):
        members = [samples[number][1] for number in tar.members]

        def fill(path: Path, split: str = tar.split, members: list[Record] = members) -> ShardReport:
            with new_tar(path) as write:
                for record in members:
                    picture = (images or {}).get(record.key) or jpeg(zlib.crc32(record.key.encode()))
                    write(record.key, picture, record_bytes(record))
            notes = Counter(name for record in members for name in record.notes)
            return ShardReport(split, None, [], dict(notes))

        reports.append(write_whole(Job(tar.name, tar.split), folder, fill))
    for path in sorted((folder / PARTS).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / PARTS).rmdir()
    if refused:
        (folder / REFUSED_NAME).write_text("".join(json.dumps(line) + "\n" for line in refused))
    _manifest(folder, [record for _, record in samples], reports).write(folder)
    return folder


def _manifest(folder: Path, records: Sequence[Record], reports: Sequence[ShardReport]) -> Manifest:
    sources = Counter(record.dataset for record in records)
    return Manifest(
        created_by="test",
        notes=sorted({name for record in records for name in record.notes}),
        splits={split: split_info(split, reports, folder) for split in SPLITS},
        sources=[
            {"dataset": name, "kind": "table", "records": n, "rejected": 0, "heldout": False, "left_out": 0}
            for name, n in sorted(sources.items())
        ],
    )
