"""Columns over all samples that fit in memory for hundreds of thousands: codes, flags, and text on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ANY = "any"


@dataclass
class Category:
    """A column of few different words: `words[codes[sample]]`, codes int32 (n,)."""

    words: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, values: Sequence[str], first: Sequence[str] = ()) -> Category:
        """A column of `values`; its words in the order of `first`, then of the alphabet, "" last."""
        there = set(values)
        rest = sorted(there - set(first) - {""})
        words = [word for word in first if word in there] + rest + ([""] if "" in there else [])
        number = {word: code for code, word in enumerate(words)}
        return cls(words, np.fromiter((number[value] for value in values), np.int32, len(values)))

    def mask(self, word: str) -> np.ndarray:
        """Which samples have `word`, bool (n,)."""
        if word not in self.words:
            return np.zeros(len(self.codes), bool)
        return np.asarray(self.codes == self.words.index(word))

    def counts(self, chosen: np.ndarray) -> dict[str, int]:
        """Samples of each word among those that are `chosen`, bool (n,)."""
        counted = np.bincount(self.codes[chosen], minlength=len(self.words))
        return dict(zip(self.words, map(int, counted), strict=True))


@dataclass
class Flags:
    """A column of sets of words, such as the names of a sample's notes: `masks[word]` is bool (n,)."""

    samples: int
    masks: dict[str, np.ndarray]

    @classmethod
    def of(cls, values: Sequence[Iterable[str]], first: Sequence[str] = ()) -> Flags:
        """A column of `values`; its words in the order of `first`, then of the alphabet."""
        places: dict[str, list[int]] = {}
        for sample, words in enumerate(values):
            for word in set(words):
                places.setdefault(word, []).append(sample)
        order = [word for word in first if word in places] + sorted(places.keys() - set(first))
        masks = {word: np.zeros(len(values), bool) for word in order}
        for word in order:
            masks[word][places[word]] = True
        return cls(len(values), masks)

    @property
    def words(self) -> list[str]:
        """All words."""
        return list(self.masks)

    def mask(self, word: str) -> np.ndarray:
        """Which samples have `word`, bool (n,); `ANY` stands for any word at all."""
        masks = list(self.masks.values()) if word == ANY else [self.masks[word]] if word in self.masks else []
        return np.any(masks, axis=0) if masks else np.zeros(self.samples, bool)

    def counts(self, chosen: np.ndarray) -> dict[str, int]:
        """Samples with each word among those that are `chosen`, bool (n,)."""
        return {word: int(np.count_nonzero(mask & chosen)) for word, mask in self.masks.items()}


class Texts:
    """The notes of every sample as one text each, in a file without a name that is paged in at need."""

    def __init__(self, parts: Iterable[Sequence[str]]) -> None:
        """Take the texts of all samples, part by part."""
        schema = pa.schema([("text", pa.large_string())])
        with tempfile.NamedTemporaryFile(prefix="mmfm-browse-") as file:
            with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for part in parts:
                    writer.write_batch(pa.record_batch([pa.array(part, pa.large_string())], schema=schema))
            self._column = pa.ipc.open_file(pa.memory_map(file.name)).read_all().column("text")
        assert not Path(file.name).exists(), "the map outlives the name"

    def mask(self, words: str) -> np.ndarray:
        """Which samples have `words`, in any case, in one of their notes, bool (n,)."""
        return np.asarray(pc.match_substring(self._column, words, ignore_case=True).to_numpy())
