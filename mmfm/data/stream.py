"""The endless stream of training batches: the same samples, notes and augmentation at each position, always.

Whatever the number of processes and threads, position k of the order means the same image, pixel for pixel,
and the same note. The only state is the number of samples consumed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmfm.config.schema import DataConfig
from mmfm.data.augment import (
    Augmentation,
    ImageChanges,
    augment_image,
    draw_augmentation,
    passes,
)
from mmfm.data.batch import Batch
from mmfm.data.batching import Batching
from mmfm.data.buffers import BufferPool
from mmfm.data.counter import hashed, uniforms
from mmfm.data.index import CorruptSample, Split
from mmfm.data.mixtures import expand
from mmfm.data.plan import Order, weigh
from mmfm.data.prefetch import PIECE, Workers
from mmfm.data.reader import decode_sample
from mmfm.data.textfeatures import Encode, TextFeatureCache
from mmfm.data.tokenizer import Tokenizer
from mmfm.data.tokens import TokenCache
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say
from mmfm.taxonomy import UNKNOWN_LABEL

_MAX_SUBSTITUTES = 32  # tries to replace one corrupt sample
_MIN_READ = 100  # samples read before the share of corrupt ones is judged


@dataclass
class Notes:
    """Where notes come from: token ids, features of a frozen tower if there are any, and their shares."""

    tokens: TokenCache
    features: TextFeatureCache | None
    shares: np.ndarray  # float64 (strategies,)


@dataclass
class _Step:
    """The share of one process in one global batch, while its images are being decoded."""

    positions: np.ndarray
    samples: np.ndarray  # corrupt ones are replaced as they are met
    drawn: Augmentation
    images: torch.Tensor  # uint8 (b, size, size, 3)


class TrainStream:
    """Batches of one process, from any position on. Use as a context manager, or `close` it."""

    def __init__(
        self,
        config: DataConfig,
        batching: Batching,
        split: Split,
        order: Order,
        notes: Notes | None,
        seed: int,
        on_device: bool = False,
        pinned: bool = False,
    ) -> None:
        self.split = split
        self.order = order
        self.read = 0  # samples read by this process
        self.corrupt: Counter[str] = Counter()  # corrupt samples met by this process, by kind
        self._config = config
        self._batching = batching
        self._notes = notes
        self._seed = seed
        self._on_device = on_device  # flips and colour are left to `Batch.to`
        # page-locked images travel to a GPU in the background
        self._buffers = BufferPool((batching.share, config.image_size, config.image_size, 3), pinned)
        self._workers = Workers(config.workers)

    @property
    def epoch_length(self) -> int:
        """Positions of one epoch: the number of samples, unless weights change it."""
        return self.order.epoch_length

    def batches(self, start_samples: int = 0) -> Iterator[list[Batch]]:
        """Yield the micro-batches of one step after another, for ever, from position `start_samples` on.

        Raises `DataError` when more than `max_corrupt_share` of the samples cannot be read.
        """
        first = start_samples + self._batching.rank * self._batching.share
        steps = (self._plan(start) for start in itertools.count(first, self._batching.global_batch))
        for step, pieces in self._workers.ahead(steps, self._tasks, self._config.prefetch):
            self._account(len(step.positions), [error for piece in pieces for error in piece])
            yield self._cut(step)

    def close(self) -> None:
        """End the decoding threads and let go of the shards."""
        self._workers.close()
        self.split.close()

    def __enter__(self) -> TrainStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _plan(self, start: int) -> _Step:
        share = self._batching.share
        positions = np.arange(start, start + share)
        samples = self.order.samples(start, start + share)
        drawn = draw_augmentation(self._config.augment, self._seed, positions)
        return _Step(positions, samples, drawn, self._buffers.take())

    def _tasks(self, step: _Step) -> list[Callable[[], list[CorruptSample]]]:
        rows = range(0, len(step.positions), PIECE)
        return [partial(self._decode_piece, step, row, row + PIECE) for row in rows]

    def _decode_piece(self, step: _Step, first: int, last: int) -> list[CorruptSample]:
        """Decode rows `first` to `last` of a step into its buffer; return what was met of corrupt samples."""
        images = step.images[first:last].numpy()
        spare = np.empty_like(images[0])
        errors: list[CorruptSample] = []
        crops = step.drawn.crops[first:last].tolist()
        changes = step.drawn.changes[first:last]
        for row, (image, crop) in enumerate(zip(images, crops, strict=True)):
            if self._on_device or changes.nothing(row):
                self._decode_position(step, first + row, image, crop, errors)
                continue
            turn, colour = changes.of(row)
            # so that the last pass ends in the batch itself
            start, other = (spare, image) if passes(turn, colour) % 2 else (image, spare)
            self._decode_position(step, first + row, start, crop, errors)
            augment_image(start, other, turn, colour)
        return errors

    def _decode_position(
        self, step: _Step, row: int, out: np.ndarray, crop: list[float], errors: list[CorruptSample]
    ) -> None:
        """Decode the sample of a row of the step, or the first readable one of its substitutes."""
        for tries in range(_MAX_SUBSTITUTES + 1):
            try:
                return self._decode(int(step.samples[row]), out, crop)
            except CorruptSample as error:
                errors.append(error)
                step.samples[row] = self._substitute(int(step.positions[row]), tries)
        raise DataError(f"{errors[-1]}. No readable sample was found in its place")

    def _decode(self, sample: int, out: np.ndarray, crop: list[float]) -> None:
        if self._notes is not None and sample in self._notes.tokens.damaged:
            self.split.read_record(sample)  # says what is wrong with it
        decode_sample(self.split, sample, out, *crop)

    def _substitute(self, position: int, tries: int) -> int:
        """The sample that stands in for a corrupt one: that of a position of the same epoch, by hash."""
        draw = int(hashed(self._seed, f"substitute/{tries}", np.array([position]))[0]) % self.epoch_length
        elsewhere = position - position % self.epoch_length + draw
        return int(self.order.samples(elsewhere, elsewhere + 1)[0])

    def _account(self, read: int, errors: list[CorruptSample]) -> None:
        """Count, say the first of each kind, and refuse to go on when there are too many."""
        self.read += read
        for error in errors:
            if not self.corrupt[error.kind]:
                say(f"{error}. It is skipped, like others of its kind")
            self.corrupt[error.kind] += 1
        limit = self._config.max_corrupt_share
        if self.read >= _MIN_READ and self.corrupt.total() > limit * self.read:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.corrupt.items())
            raise DataError(
                f"too many corrupt samples in {self.split.folder}: {kinds} of {self.read} read, "
                f"data.max_corrupt_share={limit}. Run `mmfm data verify {self.split.folder}`"
            )

    def _cut(self, step: _Step) -> list[Batch]:
        size = self._batching.micro_batch
        return [self._batch(step, slice(at, at + size)) for at in range(0, len(step.positions), size)]

    def _batch(self, step: _Step, rows: slice) -> Batch:
        samples, positions = step.samples[rows], step.positions[rows]
        changes: ImageChanges | None = step.drawn.changes[rows] if self._on_device else None
        return Batch(
            images=step.images[rows].permute(0, 3, 1, 2),
            labels=torch.from_numpy(self.split.label[samples].astype(np.int64)),
            keys=list(self.split.keys[samples]),
            positions=positions,
            changes=changes,
            **self._text(samples, positions),
        )

    def _text(self, samples: np.ndarray, positions: np.ndarray) -> dict[str, torch.Tensor | None]:
        tokens = mask = features = None
        if self._notes is not None:
            chosen = choose_notes(self._notes.shares, self._notes.tokens.has[samples], self._seed, positions)
            if self._notes.features is not None:
                features = torch.from_numpy(self._notes.features.get(chosen, samples))
            else:
                ids, there = self._notes.tokens.padded(chosen, samples)
                tokens, mask = torch.from_numpy(ids), torch.from_numpy(there)
        return {"tokens": tokens, "mask": mask, "text_features": features}


def choose_notes(shares: np.ndarray, has: np.ndarray, seed: int, positions: np.ndarray) -> np.ndarray:
    """Number of the strategy of each position, int64 (b,): by `shares`, among those that the sample `has`."""
    ends = np.cumsum(shares * has, axis=1)
    wanted = uniforms(seed, "note", positions, 1) * ends[:, -1:]
    return (wanted >= ends).sum(axis=1)


def open_stream(
    config: DataConfig,
    tokenizer: Tokenizer | None,
    batching: Batching,
    seed: int,
    encode: Encode | None = None,
    encode_key: str = "",
    device: torch.device | str = "cpu",
    labelled: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> TrainStream:
    """Open the split of `config`, build its caches where they are missing, and lay out the order.

    Without a tokenizer the batches have no text. With `encode` (a frozen text tower that `encode_key`
    identifies) they carry its cached output in place of tokens. Samples without any of the wanted notes, and
    with `labelled` those of unknown class, are left out. `tick` is called as the build of a cache gets on.
    Raises `ConfigError` and `DataError`.
    """
    check_data(config)
    split = Split.open(config.shards, config.split)
    kept = split.label != UNKNOWN_LABEL if labelled else np.ones(len(split), bool)
    notes = None
    if tokenizer is not None:
        notes = _open_notes(config, split, tokenizer, encode, encode_key, device, tick)
        noted = notes.tokens.has.any(axis=1) | np.isin(np.arange(len(split)), list(notes.tokens.damaged))
        if not noted.all() and batching.rank == 0:
            wanted = ", ".join(name for name, share in config.notes.items() if share > 0)
            say(
                f"{(~noted).sum()} of {len(split)} samples of split {config.split!r} have none of the notes "
                f"{wanted}: they are left out"
            )
        kept &= noted
    if not kept.any():
        raise DataError(
            f"split {config.split!r} of {config.shards} has no sample with one of the notes "
            f"{', '.join(config.notes)}{' and a known class' if labelled else ''}"
        )
    order = Order(split.shard, *weigh(split, config.weights, kept), seed, config.window)
    on_cuda = torch.device(device).type == "cuda"
    on_device = config.augment_on == "device" or (config.augment_on == "auto" and on_cuda)
    return TrainStream(config, batching, split, order, notes, seed, on_device, pinned=on_cuda)


def check_data(config: DataConfig) -> None:
    """Refuse values that cannot go together. Raises `ConfigError` naming the key."""
    if not sum(config.notes.values()):
        raise ConfigError(f"data.notes={dict(config.notes)} must name strategies with positive shares")
    least, greatest = config.augment.scale
    if least > greatest:
        raise ConfigError(f"data.augment.scale={config.augment.scale} must be [least, greatest]")


def _open_notes(
    config: DataConfig,
    split: Split,
    tokenizer: Tokenizer,
    encode: Encode | None,
    encode_key: str,
    device: Any,
    tick: Callable[[], None],
) -> Notes:
    shares = expand(config.notes, split.manifest.notes)
    strategies = sorted(name for name, share in shares.items() if share > 0)
    missing = [name for name in strategies if name not in split.manifest.notes]
    if missing:
        raise ConfigError(
            f"data.notes asks for {', '.join(missing)}; {config.shards} has the notes "
            f"{', '.join(split.manifest.notes) or 'of no strategy'}"
        )
    folder = Path(config.shards) / "tokens"
    tokens = TokenCache.open_or_build(split, tokenizer, strategies, config.max_tokens, folder, tick)
    features = TextFeatureCache.open_or_build(tokens, encode, encode_key, device, tick) if encode else None
    return Notes(tokens, features, np.array([shares[name] for name in strategies], float))
