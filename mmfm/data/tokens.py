"""Token ids of all notes of a split, computed once and kept beside the shards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmfm.data.index import CorruptSample, Split
from mmfm.data.padding import pad
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import DataError
from mmfm.progress import track

_CHUNK = 1024  # notes tokenized at a time
_DAMAGED = "damaged.json"
_MARK_SECONDS = 60.0  # a folder that is being built has been changed within about as long
_DEAD_SECONDS = 3600.0

Tick = Callable[[], None]


class TokenCache:
    """Ids of every note by strategy and sample number, memory-mapped.

    `has`: bool (n, strategies), which samples have which note. `damaged`: samples with an unreadable record.
    """

    def __init__(self, folder: Path, strategies: Sequence[str], vocab_size: int, pad_id: int) -> None:
        self.folder = folder
        self.strategies = list(strategies)
        self.pad_id = pad_id
        self._ids = [_map(folder / f"{name}.ids", _id_type(vocab_size)) for name in strategies]
        self._ends = [np.load(folder / f"{name}.ends.npy") for name in strategies]
        self.has = np.stack([np.diff(ends) > 0 for ends in self._ends], axis=1)
        self.damaged: frozenset[int] = frozenset(json.loads((folder / _DAMAGED).read_text()))

    @classmethod
    def open_or_build(
        cls,
        split: Split,
        tokenizer: Tokenizer,
        strategies: Sequence[str],
        max_tokens: int,
        folder: Path,
        tick: Tick = lambda: None,
    ) -> TokenCache:
        """Open the cache for these notes and this tokenizer below `folder`, building it first if need be.

        `tick` is called as the build gets on; what it raises ends the build.
        Processes that build at the same time do the same work; the first to finish is kept.
        Raises `DataError` where the cache cannot be written.
        """
        key = _key(split, tokenizer, strategies, max_tokens)
        target = folder / f"{split.name}-{key[:12]}"
        if target.is_dir():
            cache = cls(target, strategies, tokenizer.vocab_size, tokenizer.pad_id)
            if not any(_readable(split, sample) for sample in cache.damaged):
                return cache
            shutil.rmtree(target)  # the shards were mended since
        publish(target, lambda part, tick: _build(part, split, tokenizer, strategies, max_tokens, tick), tick)
        return cls(target, strategies, tokenizer.vocab_size, tokenizer.pad_id)

    def get(self, strategy: str, sample: int) -> np.ndarray:
        """Ids of a note, uint16 or uint32 (length,); empty when the sample has no such note."""
        return self.ids(self.strategies.index(strategy), sample)

    def ids(self, number: int, sample: int) -> np.ndarray:
        """`get` by the number of the strategy."""
        ends = self._ends[number]
        return self._ids[number][ends[sample] : ends[sample + 1]]

    def padded(self, numbers: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and mask, both int64 (b, T), of one note per sample; T is the length of the longest."""
        rows = [self.ids(n, s) for n, s in zip(numbers.tolist(), samples.tolist(), strict=True)]
        return pad(rows, self.pad_id)


def publish(target: Path, write: Callable[[Path, Tick], None], tick: Tick) -> None:
    """Let `write` fill a folder and move it to `target` in one step; if another got there first, keep theirs.

    `write` is given a `tick` to call as it gets on, which calls ours. What killed builds left is removed.
    Raises `DataError` when the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"cannot write the cache {target}: {error.strerror}. Make the folder writable, or copy the shards"
        ) from error
    alive = _Alive(part, tick)
    try:
        _remove_dead(target, part)
        write(part, alive)
        part.chmod(0o755)  # mkdtemp keeps others out, but caches are shared like the shards
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _Alive:
    """Calls `tick`, and marks now and then that the folder's builder is alive."""

    def __init__(self, folder: Path, tick: Tick) -> None:
        self._folder = folder
        self._tick = tick
        self._due = time.monotonic() + _MARK_SECONDS

    def __call__(self) -> None:
        self._tick()
        if time.monotonic() > self._due:
            self._due = time.monotonic() + _MARK_SECONDS
            os.utime(self._folder)


def _remove_dead(target: Path, ours: Path) -> None:
    """Remove folders of builds of `target` that nobody goes on with."""
    now = ours.stat().st_mtime  # by the clock of the disk
    for part in target.parent.glob(f".{target.name}-*"):
        with contextlib.suppress(OSError):  # it has just been moved to its place
            if now - part.stat().st_mtime > _DEAD_SECONDS:
                shutil.rmtree(part, ignore_errors=True)


def _build(
    folder: Path,
    split: Split,
    tokenizer: Tokenizer,
    strategies: Sequence[str],
    max_tokens: int,
    tick: Tick,
) -> None:
    kind = _id_type(tokenizer.vocab_size)
    lengths = {name: np.zeros(len(split), np.int64) for name in strategies}
    damaged: list[int] = []
    files = {name: (folder / f"{name}.ids").open("wb") for name in strategies}
    try:
        chunks = range(0, len(split), _CHUNK)
        for start in track(chunks, f"tokenizing the notes of {split.name}"):
            tick()
            samples = range(start, min(start + _CHUNK, len(split)))
            texts = [_texts(split, sample, strategies, damaged) for sample in samples]
            for place, name in enumerate(strategies):
                there = [(s, row[place]) for s, row in zip(samples, texts, strict=True) if row[place]]
                encoded = tokenizer.encode([text for _, text in there], max_tokens)
                for (sample, _), ids in zip(there, encoded, strict=True):
                    lengths[name][sample] = len(ids)
                    files[name].write(np.asarray(ids, kind).tobytes())
    finally:
        for file in files.values():
            file.close()
    for name in strategies:
        np.save(folder / f"{name}.ends.npy", np.concatenate([[0], np.cumsum(lengths[name])]))
    (folder / _DAMAGED).write_text(json.dumps(damaged))


def _texts(split: Split, sample: int, strategies: Sequence[str], damaged: list[int]) -> list[str]:
    try:
        notes = split.read_record(sample).notes
    except CorruptSample:
        damaged.append(sample)
        return [""] * len(strategies)
    return [notes[name].text.strip() if name in notes else "" for name in strategies]


def _readable(split: Split, sample: int) -> bool:
    try:
        split.read_record(sample)
    except CorruptSample:
        return False
    return True


def _key(split: Split, tokenizer: Tokenizer, strategies: Sequence[str], max_tokens: int) -> str:
    key = hashlib.sha256(json.dumps([tokenizer.fingerprint, list(strategies), max_tokens]).encode())
    key.update(split.json_crc.tobytes() + split.json_size.tobytes())
    return key.hexdigest()


def _id_type(vocab_size: int) -> type[np.unsignedinteger]:
    return np.uint16 if vocab_size <= 2**16 else np.uint32


def _map(path: Path, kind: type[np.unsignedinteger]) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, kind)
    return np.asarray(np.memmap(path, kind, mode="r"))  # a plain view: slices of memmap objects are slow
