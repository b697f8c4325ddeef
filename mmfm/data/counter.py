"""Counter-based random numbers: a value for (seed, purpose, counter), computed without a state.

The hash is the finaliser of splitmix64, twice, with keys between: every value can be had by itself, for
thousands of counters at once, which is what lets position k of the stream be the same on any machine.
"""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_MANTISSA_SHIFT = np.uint64(11)  # leaves the 53 bits that a double holds exactly


def hashed(seed: int, purpose: str, counters: np.ndarray) -> np.ndarray:
    """uint64 hashes of non-negative integer `counters` (any shape); other purposes are independent."""
    first, second = _keys(seed, purpose)
    mixed = _mix(np.asarray(counters).astype(np.uint64) * _GOLDEN + first)
    return _mix(mixed + second)


def uniforms(seed: int, purpose: str, counters: np.ndarray, lanes: int) -> np.ndarray:
    """float64 in [0, 1) of shape (len(counters), lanes): `lanes` independent numbers for each counter."""
    cells = np.asarray(counters, dtype=np.int64)[:, None] * lanes + np.arange(lanes)
    return (hashed(seed, purpose, cells) >> _MANTISSA_SHIFT).astype(np.float64) * 2.0**-53


def permutation(seed: int, purpose: str, number: int, length: int) -> np.ndarray:
    """A random permutation of `range(length)` as int64: the `number`-th one for this seed and purpose."""
    first, second = (int(key) for key in _keys(seed, f"{purpose}/{number}"))
    return np.random.Generator(np.random.Philox(key=first ^ (second << 64))).permutation(length)


def _keys(seed: int, purpose: str) -> tuple[np.uint64, np.uint64]:
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
    return np.uint64(int.from_bytes(digest[:8], "little")), np.uint64(int.from_bytes(digest[8:], "little"))


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> _SHIFTS[0])) * _MULTIPLIERS[0]
    x = (x ^ (x >> _SHIFTS[1])) * _MULTIPLIERS[1]
    return x ^ (x >> _SHIFTS[2])
