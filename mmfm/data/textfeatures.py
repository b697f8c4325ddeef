"""Output of a frozen text tower for all notes of a split, computed once and kept beside the shards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from mmfm.data.tokens import Tick, TokenCache, publish
from mmfm.progress import track

Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # tokens, mask int64 (b, T) -> (b, dim)
_BATCH = 64  # notes encoded at once


class TextFeatureCache:
    """float32 features of each note; identical notes share a row of the memory-mapped array."""

    def __init__(self, folder: Path, strategies: list[str]) -> None:
        self._features = [np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in strategies]
        self._rows = [np.load(folder / f"{name}.rows.npy") for name in strategies]

    @classmethod
    def open_or_build(
        cls,
        tokens: TokenCache,
        encode: Encode,
        key: str,
        device: torch.device | str = "cpu",
        tick: Tick = lambda: None,
    ) -> TextFeatureCache:
        """Open the features of the notes of `tokens` by the tower that `key` identifies, or compute them.

        `encode` maps tokens and mask on `device` to (b, dim). The cache lies in the folder of the tokens.
        `tick` is called as the build gets on; what it raises ends the build.
        """
        target = tokens.folder / f"features-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        if not target.is_dir():
            with _all_cores():
                place = torch.device(device)
                publish(target, lambda folder, tick: _build(folder, tokens, encode, place, tick), tick)
        return cls(target, tokens.strategies)

    def get(self, numbers: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """float32 (b, dim): the note of strategy `numbers[i]` (place in the token cache) of `samples[i]`."""
        rows = [
            self._features[n][self._rows[n][s]]
            for n, s in zip(numbers.tolist(), samples.tolist(), strict=True)
        ]
        return np.stack(rows)


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let torch use every core for a while: the other processes of the run wait for this one anyway."""
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _build(folder: Path, tokens: TokenCache, encode: Encode, device: torch.device, tick: Tick) -> None:
    for number, name in enumerate(tokens.strategies):
        first, rows = _distinct(tokens, number)
        lengths = np.array([len(tokens.ids(number, sample)) for sample in first])
        order = np.argsort(lengths, kind="stable")  # notes of like length side by side waste no padding
        parts = [order[at : at + _BATCH] for at in range(0, len(order), _BATCH)]
        features: np.ndarray | None = None
        for part in track(parts, f"encoding the {len(first)} different notes {name}"):
            tick()
            ids, mask = tokens.padded(np.full(len(part), number), first[part])
            encoded = encode(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
            if features is None:
                features = np.zeros((len(first), encoded.shape[1]), np.float32)
            features[part] = encoded.float().cpu().numpy()
        np.save(folder / f"{name}.npy", np.zeros((0, 0), np.float32) if features is None else features)
        np.save(folder / f"{name}.rows.npy", rows)


def _distinct(tokens: TokenCache, number: int) -> tuple[np.ndarray, np.ndarray]:
    """One sample for each different note, and the row of every sample's note (int64 (n,), -1 for none)."""
    row_of: dict[bytes, int] = {}
    first: list[int] = []
    rows = np.full(len(tokens.has), -1, np.int64)
    for sample in np.flatnonzero(tokens.has[:, number]).tolist():
        note = tokens.ids(number, sample).tobytes()
        row = row_of.setdefault(note, len(first))
        if row == len(first):
            first.append(sample)
        rows[sample] = row
    return np.array(first, np.int64), rows
