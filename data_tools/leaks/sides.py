"""The sides that are compared: every split of every folder of shards, with what identifies its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmfm.data.index import TRAIN, Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.progress import track
from mmfm.records import Record


@dataclass(frozen=True)
class Side:
    """One split of one folder. `folder` is its number among those given; `name` tells it from the others."""

    name: str
    folder: int
    split: Split

    @property
    def trained_on(self) -> bool:
        """Whether models learn from it."""
        return self.split.name == TRAIN


@dataclass(frozen=True)
class Sample:
    """A sample, the number of its side, and its place in that split. The record has its notes."""

    side: int
    place: int
    record: Record


@dataclass
class Sides:
    """All sides, and all their samples, side by side."""

    sides: list[Side]
    samples: list[Sample]

    def images(self) -> Iterator[bytes]:
        """The encoded image of every sample, in their order."""
        for sample in self.samples:
            yield self.image(sample)

    def image(self, sample: Sample) -> bytes:
        """The encoded image of a sample. Raises `CorruptSample` where its bytes are damaged."""
        return self.sides[sample.side].split.read_image(sample.place)


def read_sides(folders: Sequence[Path]) -> Sides:
    """Read the records of all filled splits of some folders of shards.

    Raises `DataError` for a missing or damaged folder and when there are fewer than two sides to compare,
    `ConfigError` for a folder that is named twice.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise ConfigError(f"{folder} is named twice: name each folder once")
    sides: list[Side] = []
    for number, folder in enumerate(folders):
        for name, info in Manifest.read(folder).splits.items():
            if info.samples:
                shown = name if len(folders) == 1 else f"{folder}:{name}"
                sides.append(Side(shown, number, Split.open(folder, name)))
    if len(sides) < 2:
        raise DataError(f"{folders[0]} has one split alone: name a second folder to compare it with")
    count = sum(len(side.split) for side in sides)
    return Sides(sides, list(track(_samples(sides), "reading records", count)))


def _samples(sides: list[Side]) -> Iterator[Sample]:
    for number, side in enumerate(sides):
        for place in range(len(side.split)):
            yield Sample(number, place, side.split.read_record(place))
