"""Decoding samples: one into its place, or many in a given order, whole and unaugmented, for evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from mmfm.data.decode import DecodeError, decode_into
from mmfm.data.index import CorruptSample, Split
from mmfm.data.prefetch import PIECE, Workers
from mmfm.records import Record

_AHEAD = 4  # batches prepared ahead


def read_batches(
    split: Split,
    samples: np.ndarray,
    image_size: int,
    batch: int,
    workers: int,
    corrupt: Counter[str] | None = None,
) -> Iterator[tuple[torch.Tensor, list[Record], np.ndarray]]:
    """Yield (images uint8 (b, 3, image_size, image_size), records, sample numbers int64 (b,)) in order.

    Samples that cannot be read are left out, so b may be below `batch` (a batch without any is not yielded);
    they are counted by kind in `corrupt`, when given.
    """
    samples = np.asarray(samples, np.int64)
    threads = Workers(workers)
    steps = (samples[start : start + batch] for start in range(0, len(samples), batch))
    try:
        for ids, pieces in threads.ahead(steps, lambda ids: _tasks(split, ids, image_size), _AHEAD):
            outcomes = [outcome for piece in pieces for outcome in piece]
            for outcome in outcomes:
                if isinstance(outcome, CorruptSample) and corrupt is not None:
                    corrupt[outcome.kind] += 1
            good = [(i, *o) for i, o in zip(ids, outcomes, strict=True) if not isinstance(o, CorruptSample)]
            if good:
                images = torch.from_numpy(np.stack([pixels for _, pixels, _ in good])).permute(0, 3, 1, 2)
                yield images, [record for _, _, record in good], np.array([i for i, _, _ in good])
    finally:
        threads.close()


def decode_sample(split: Split, sample: int, out: np.ndarray, *crop: float) -> None:
    """`decode_into` of the image of a sample. Raises `CorruptSample` whatever is wrong with it."""
    try:
        decode_into(split.read_image(sample), out, *crop)
    except DecodeError as error:
        raise CorruptSample("undecodable", split.keys[sample], str(error)) from error


def _tasks(split: Split, ids: np.ndarray, size: int) -> list[partial[list]]:
    return [partial(_read_piece, split, ids[at : at + PIECE], size) for at in range(0, len(ids), PIECE)]


def _read_piece(split: Split, ids: np.ndarray, size: int) -> list[tuple[np.ndarray, Record] | CorruptSample]:
    outcomes: list[tuple[np.ndarray, Record] | CorruptSample] = []
    for sample in ids:
        pixels = np.empty((size, size, 3), np.uint8)
        try:
            decode_sample(split, sample, pixels)
            outcomes.append((pixels, split.read_record(sample)))
        except CorruptSample as error:
            outcomes.append(error)
    return outcomes
