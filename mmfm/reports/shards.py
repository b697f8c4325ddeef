"""What a report shows of the shards: counts, rejected rows and a few samples."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmfm.data.index import SPLITS, CorruptSample, Split
from mmfm.data.manifest import MANIFEST_NAME, Manifest
from mmfm.errors import DataError
from mmfm.evaluation.thumbnail import thumbnail
from mmfm.records import Record
from mmfm.reports.runs import Run
from mmfm.taxonomy import CODES

SAMPLES = 8
THUMBNAIL = 224  # greatest side in pixels
REJECT_KINDS = 12  # most reasons listed


@dataclass
class Sample:
    """A sample as the page shows it. `image` is a data URI."""

    record: Record
    image: str


@dataclass
class ShardsView:
    """The folder of shards that the runs used."""

    folder: Path
    manifest: Manifest
    samples: list[Sample] = field(default_factory=list)
    samples_split: str = ""
    rejects: list[tuple[str, str, int]] = field(default_factory=list)  # dataset, reason, rows

    def classes(self) -> list[str]:
        """Codes of the classes that have samples, in taxonomy order."""
        seen: Counter[str] = Counter()
        for split in self.manifest.splits.values():
            for domains in split.by_dataset.values():
                for counts in domains.values():
                    seen.update(counts.labels)
        return [code for code in CODES if seen[code]] + sorted(set(seen) - set(CODES))

    def datasets(self, split: str) -> dict[str, int]:
        """Samples of each dataset in a split."""
        info = self.manifest.splits.get(split)
        if info is None:
            return {}
        return {name: sum(c.samples for c in domains.values()) for name, domains in info.by_dataset.items()}


def read_shards(folder: Path, runs: list[Run]) -> ShardsView | None:
    """The shards that the runs' configs name, or None where they are not on this machine.

    Raises `DataError` for a folder of shards that is there but damaged.
    """
    path = _find(folder, runs)
    if path is None:
        return None
    view = ShardsView(path, Manifest.read(path), rejects=_rejects(path / "rejects.csv"))
    for name in SPLITS:
        info = view.manifest.splits.get(name)
        if info and info.samples:
            view.samples, view.samples_split = pick_samples(Split.open(path, name)), name
            break
    return view


def pick_samples(split: Split, wanted: int = SAMPLES) -> list[Sample]:
    """At most `wanted` samples, spread over classes first, then datasets and domains; always the same."""
    used: Counter[tuple[str, str]] = Counter()
    picked: list[Sample] = []
    pools = [np.flatnonzero(split.label == label) for label in np.unique(split.label[split.label >= 0])]
    pools = pools or [np.arange(len(split))]
    for turn in range(wanted):
        for pool in pools:
            sample = _read(split, _choose(split, pool, used, turn))
            if sample is not None and sample.record.key not in {s.record.key for s in picked}:
                used[sample.record.dataset, sample.record.domain] += 1
                picked.append(sample)
            if len(picked) == wanted:
                return picked
    return picked


def _choose(split: Split, pool: np.ndarray, used: Counter[tuple[str, str]], turn: int) -> int:
    """The sample of `pool` from the dataset and domain shown least so far; a place in its middle first."""
    places = list(zip(split.dataset[pool], split.domain[pool], strict=True))
    least = min(sorted(set(places)), key=lambda place: used[place])
    candidates = [int(i) for i, place in zip(pool, places, strict=True) if place == least]
    return candidates[(len(candidates) // 2 + turn) % len(candidates)]


def _read(split: Split, sample: int) -> Sample | None:
    try:
        record, data = split.read_record(sample), split.read_image(sample)
    except CorruptSample:
        return None  # `mmfm data verify` names it; a report only illustrates
    return Sample(record, thumbnail(data, THUMBNAIL))


def _find(folder: Path, runs: list[Run]) -> Path | None:
    named = [run.get("data.shards") or run.get("shards") for run in runs]
    places = [Path(name) for name in named if isinstance(name, str)]
    # a run folder that was moved with its shards: look beside it too
    relative = [
        root / p for p in places if not p.is_absolute() for root in (folder, *folder.resolve().parents[:3])
    ]
    for path in (*places, *relative, folder / "shards", folder.parent / "shards"):
        if (path / MANIFEST_NAME).is_file():
            return path
    return None


def _rejects(path: Path) -> list[tuple[str, str, int]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        kinds = Counter((row["dataset"], row["reason"]) for row in rows)
    except (OSError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error!r}): run `mmfm data shard` again") from error
    return [(dataset, reason, n) for (dataset, reason), n in kinds.most_common(REJECT_KINDS)]
