"""The order of training samples: a pure function of seed and position, for any number of processes.

In every epoch the shards are permuted and cut into windows, and the samples of a window are permuted. Only
the window that holds a position is ever laid out, so any position is as cheap to reach as the first.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mmfm.config.schema import WeightConfig
from mmfm.data.counter import permutation
from mmfm.data.index import Split
from mmfm.errors import ConfigError
from mmfm.taxonomy import CODES, UNKNOWN_LABEL


@dataclass
class _Epoch:
    shards: np.ndarray  # permuted shard numbers
    ends: np.ndarray  # draws up to the end of each window, so ends[-1] is the epoch's length
    copies: np.ndarray | None  # draws of each sample, None where all have one


class Order:
    """Which sample stands at each position of an endless sequence of epochs of `epoch_length` draws.

    `shard_of`, `group_of`: (n,) integers, the shard and the weight group of each sample.
    `repeat`: weight of each group: group g of n_g samples gets `round(repeat[g] * n_g)` draws an epoch, dealt
    evenly: each sample the whole part of the mean, and the remainder goes round the samples epoch by epoch.
    """

    def __init__(
        self, shard_of: np.ndarray, group_of: np.ndarray, repeat: np.ndarray, seed: int, window: int
    ) -> None:
        self._seed = seed
        self._window = window
        self._shard_of = np.asarray(shard_of)
        self._members = np.argsort(self._shard_of, kind="stable").astype(np.int64)
        self._sizes = np.bincount(self._shard_of)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._group_of = np.asarray(group_of)
        self._groups = np.bincount(self._group_of, minlength=len(repeat))
        self._draws = np.round(np.asarray(repeat, float) * self._groups).astype(np.int64)
        self._even = np.array_equal(self._draws, self._groups)
        self._turn = np.zeros(0, np.int64) if self._even else self._turns()
        self.epoch_length = int(self._draws.sum())
        self._epoch = lru_cache(maxsize=2)(self._plan_epoch)
        self._mixed = lru_cache(maxsize=8)(self._mix_window)

    def samples(self, start: int, stop: int) -> np.ndarray:
        """Sample numbers, int64 (stop - start,), at the absolute positions from `start` up to `stop`."""
        assert 0 <= start <= stop and self.epoch_length > 0
        pieces = [np.zeros(0, np.int64)]
        while start < stop:
            epoch, within = divmod(start, self.epoch_length)
            ends = self._epoch(epoch).ends
            number = int(np.searchsorted(ends, within, side="right"))
            before = int(ends[number - 1]) if number else 0
            taken = self._mixed(epoch, number)[within - before :][: stop - start]
            pieces.append(taken)
            start += len(taken)
        return np.concatenate(pieces)

    def _plan_epoch(self, epoch: int) -> _Epoch:
        shards = permutation(self._seed, "shards", epoch, len(self._sizes))
        copies = None if self._even else self._copies(epoch)
        sizes = self._sizes if copies is None else np.bincount(self._shard_of, copies).astype(np.int64)
        lasts = np.arange(self._window, len(shards) + self._window, self._window).clip(max=len(shards)) - 1
        return _Epoch(shards, np.cumsum(sizes[shards])[lasts], copies)

    def _mix_window(self, epoch: int, number: int) -> np.ndarray:
        plan = self._epoch(epoch)
        shards = plan.shards[number * self._window :][: self._window]
        members = np.concatenate([self._members[self._starts[s] : self._starts[s + 1]] for s in shards])
        if plan.copies is not None:
            members = np.repeat(members, plan.copies[members])
        return members[permutation(self._seed, f"mix/{epoch}", number, len(members))]

    def _turns(self) -> np.ndarray:
        """A fixed random place of each sample among those of its group: who is next for a remainder."""
        turn = np.empty(len(self._group_of), np.int64)
        by_group = np.split(np.argsort(self._group_of, kind="stable"), np.cumsum(self._groups)[:-1])
        for group, members in enumerate(by_group):
            turn[members] = permutation(self._seed, "turns", group, len(members))
        return turn

    def _copies(self, epoch: int) -> np.ndarray:
        """Draws of each sample in this epoch, int64 (n,)."""
        least, left = np.divmod(self._draws, np.maximum(self._groups, 1))
        since = (self._turn - epoch * left[self._group_of]) % self._groups[self._group_of]
        return least[self._group_of] + (since < left[self._group_of])


def weigh(split: Split, weights: WeightConfig, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups int64 (n,) of the samples of a split and the weight of each group, for `Order`.

    A group is a class of a dataset; samples outside the mask `kept` get weight 0. `balance` raises the
    share of rare classes (as the dataset weights leave them) with the epoch's length unchanged; the class
    weights come on top. Raises `ConfigError` for unknown names, negative weights, and when nothing is left.
    """
    _check(weights, set(split.dataset))
    datasets, dataset_of = np.unique(split.dataset.astype(str), return_inverse=True)
    by_dataset = np.array([weights.dataset.get(str(name), 1.0) for name in datasets])
    by_label = np.array([weights.label.get(code, 1.0) for code in CODES] + [1.0])  # [-1] is the unknown class
    label_of = np.where(split.label == UNKNOWN_LABEL, len(CODES), split.label)
    balance = _balance(label_of, by_dataset[dataset_of] * kept, weights.balance)
    cells = (by_dataset[:, None] * (by_label * balance)[None, :]).ravel()
    groups = np.where(kept, dataset_of * len(by_label) + label_of, len(cells))
    repeat = np.append(cells, 0.0)
    if not np.round(repeat * np.bincount(groups, minlength=len(repeat))).any():
        raise ConfigError("data.weights leave no sample to train on: raise a weight of what the split holds")
    return groups, repeat


def _balance(label_of: np.ndarray, weight: np.ndarray, strength: float) -> np.ndarray:
    """Factor of each class and of the unknown one (always 1), keeping the sum over known samples."""
    natural = np.bincount(label_of, weight, minlength=len(CODES) + 1)
    known = (natural > 0) & (np.arange(len(natural)) < len(CODES))
    factor = np.ones(len(natural))
    factor[known] = natural[known] ** -strength
    if known.any():
        factor[known] *= natural[known].sum() / (natural[known] * factor[known]).sum()
    return factor


def _check(weights: WeightConfig, datasets: Iterable[str]) -> None:
    for option, given, valid in (
        ("dataset", weights.dataset, sorted(datasets)),
        ("label", weights.label, list(CODES)),
    ):
        for name, weight in given.items():
            if name not in valid:
                near = difflib.get_close_matches(str(name), valid, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(valid)}"
                raise ConfigError(
                    f"data.weights.{option} names {name!r}, which the split does not know: {hint}"
                )
            if weight < 0:
                raise ConfigError(f"data.weights.{option}.{name}={weight} must not be negative")
    if not 0 <= weights.balance <= 1:
        raise ConfigError(f"data.weights.balance={weights.balance} must lie in [0, 1]")
