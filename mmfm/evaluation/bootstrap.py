"""Percentile bootstrap: 95% intervals of any statistic that can be computed from sample weights.

Whole groups (patients, lesions) are drawn with replacement, not single images: several images of one
lesion say little more than one of them, and must not make an interval look narrower than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# (r, n) weights of n samples in r resamples -> (r, k) values of k statistics, NaN where one is undefined
Statistic = Callable[[np.ndarray], np.ndarray]

LOW, HIGH = 2.5, 97.5  # percentiles of a 95% interval
CELLS = 1 << 22  # weights held at once: 32 MB


@dataclass(frozen=True)
class Estimate:
    """A statistic on the sample itself and the ends of its 95% interval. NaN: undefined on this sample."""

    value: float
    low: float
    high: float

    @property
    def defined(self) -> bool:
        """Whether the statistic has a value and an interval."""
        return math.isfinite(self.value) and math.isfinite(self.low)


class Bootstrap:
    """Resamples of the groups of a sample; the same groups, count and seed give the same intervals.

    `groups`: (n,) of any sortable type, equal for samples that are drawn together. `times`: resamples.
    """

    def __init__(self, groups: np.ndarray, times: int, seed: int) -> None:
        names, self._group_of = np.unique(groups, return_inverse=True)
        self.groups = len(names)
        self._times = times
        self._seed = seed

    def estimate(self, statistic: Statistic) -> list[Estimate]:
        """Estimates of the k values of `statistic`, in its order.

        A resample in which a value is undefined (a class was not drawn) is left out of that value's interval.
        """
        values = statistic(np.ones((1, len(self._group_of))))[0]
        drawn = np.concatenate([statistic(weights) for weights in self._weights()])
        estimates = []
        for value, resampled in zip(values, drawn.T, strict=True):
            resampled = resampled[np.isfinite(resampled)]
            low, high = np.percentile(resampled, [LOW, HIGH]) if len(resampled) else (math.nan, math.nan)
            estimates.append(Estimate(float(value), float(low), float(high)))
        return estimates

    def _weights(self) -> Iterator[np.ndarray]:
        """Yield (r, n) float64 weights: how often the group of each sample was drawn in each resample."""
        generator = np.random.default_rng(self._seed)
        rows = max(1, CELLS // max(1, len(self._group_of)))
        for start in range(0, self._times, rows):
            count = min(rows, self._times - start)
            drawn = generator.integers(0, self.groups, (count, self.groups))
            cells = drawn + np.arange(count)[:, None] * self.groups
            times_drawn = np.bincount(cells.ravel(), minlength=count * self.groups)
            yield times_drawn.reshape(count, self.groups)[:, self._group_of].astype(np.float64)


def means(values: np.ndarray) -> Statistic:
    """Statistic: the mean of each column of `values`, (n, k)."""
    return lambda weights: (weights @ values) / weights.sum(axis=1, keepdims=True)


def median(values: np.ndarray) -> Statistic:
    """Statistic: the median of `values`, (n,), k = 1; of an even number of samples the lower middle one."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def statistic(weights: np.ndarray) -> np.ndarray:
        reached = np.cumsum(weights[:, order], axis=1)
        middle = (reached >= reached[:, -1:] / 2).argmax(axis=1)
        return np.asarray(ordered[middle, None], dtype=np.float64)

    return statistic
