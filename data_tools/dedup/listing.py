"""The near-duplicates of a recipe's images: how many there are, between which sets, how long it took."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_tools.config import DedupConfig
from data_tools.dedup.search import find_duplicates
from data_tools.shards.plan import Sample
from data_tools.splits import group_records
from mmfm.files import write_atomically

COLUMNS = ("dataset_a", "file_a", "dataset_b", "file_b", "distance")


@dataclass
class Duplicates:
    """Pairs of samples that show the same picture, with their distance in bits, and the seconds it took."""

    samples: list[Sample]
    pairs: list[tuple[int, int, int]]
    seconds: float

    @property
    def between(self) -> Counter[tuple[str, str]]:
        """Pairs by the two datasets, in the order of the alphabet."""
        named = (sorted(self.samples[place].record.dataset for place in pair[:2]) for pair in self.pairs)
        return Counter((a, b) for a, b in named)

    @property
    def unrelated(self) -> list[tuple[int, int, int]]:
        """Pairs whose lesion and patient ids do not tell that they belong together."""
        groups = group_records([sample.record for sample in self.samples])
        return [pair for pair in self.pairs if groups[pair[0]] != groups[pair[1]]]

    def write(self, path: Path) -> None:
        """Write the pairs as CSV, the nearest first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for i, j, distance in sorted(self.pairs, key=lambda pair: (pair[2], pair)):
            a, b = self.samples[i], self.samples[j]
            writer.writerow((a.record.dataset, a.file, b.record.dataset, b.file, distance))
        write_atomically(path, text.getvalue())


def list_duplicates(samples: list[Sample], cfg: DedupConfig, max_pixels: int) -> Duplicates:
    """Search the images of all samples. Raises as `find_duplicates`."""
    started = time.monotonic()
    images, sets = [sample.image for sample in samples], [sample.record.dataset for sample in samples]
    pairs = find_duplicates(images, sets, cfg, max_pixels)
    return Duplicates(samples, pairs, time.monotonic() - started)
