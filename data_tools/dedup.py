"""Near-duplicates: images whose difference hashes differ in few bits.

The hash compares neighbouring pixels of the shrunk gray image, so it survives rescaling, another
compression and small colour changes. It does not survive turning or mirroring.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_tools.config import DedupConfig
from data_tools.workers import cores
from mmfm.errors import ConfigError
from mmfm.progress import track

ROWS = 256  # hashes compared with all others at once
WORD = 64  # bits


def find_duplicates(images: list[Path], sets: list[str], cfg: DedupConfig) -> list[tuple[int, int, int]]:
    """Pairs (i, j, distance), i < j, of images whose Hamming distance is within the bound of `cfg`.

    `sets` names the set of each image: pairs of one set and pairs across sets have bounds of their own.
    Images that cannot be read and images without any contrast have no duplicates: packing reports the
    first, and a hash tells nothing of the second. Time grows with the square of the number of images:
    some 10 seconds of comparing for 60,000.
    """
    widest = max(cfg.max_distance, cfg.max_distance_across)
    if cfg.hash_side < 2 or min(cfg.max_distance, cfg.max_distance_across) < 0:
        raise ConfigError(
            f"dedup: hash_side={cfg.hash_side} must be at least 2, max_distance={cfg.max_distance} and "
            f"max_distance_across={cfg.max_distance_across} at least 0"
        )
    # The decoders let other threads run, so threads do here what processes would.
    with ThreadPoolExecutor(cores()) as pool:
        hashes = pool.map(partial(difference_hash, side=cfg.hash_side), images)
        found = [
            (i, bits) for i, bits in enumerate(track(hashes, "hashing", len(images))) if bits is not None
        ]
    if not found:
        return []
    places = np.array([i for i, _ in found])
    pairs = near_pairs(np.stack([bits for _, bits in found]), widest)
    named = ((int(places[i]), int(places[j]), distance) for i, j, distance in pairs)
    bounds = (cfg.max_distance_across, cfg.max_distance)
    return [(i, j, distance) for i, j, distance in named if distance <= bounds[sets[i] == sets[j]]]


def difference_hash(path: Path, side: int) -> NDArray[np.uint64] | None:
    """Hash of side x side bits as ceil(side * side / 64) uint64 words; None if there is nothing to hash."""
    try:
        with Image.open(path) as image:
            image.draft("L", (side * 8, side * 8))  # lets the JPEG decoder skip what the hash does not see
            bits = imagehash.dhash(image, hash_size=side).hash.ravel()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if not bits.any():
        return None
    padded = np.zeros(-(-bits.size // WORD) * WORD, dtype=bool)
    padded[: bits.size] = bits
    return np.packbits(padded).view(np.uint64)


def near_pairs(hashes: NDArray[np.uint64], max_distance: int) -> list[tuple[int, int, int]]:
    """All pairs of rows of `hashes` (n, words) that differ in at most `max_distance` bits."""
    pairs: list[tuple[int, int, int]] = []
    words = np.ascontiguousarray(hashes.T)
    for start in range(0, len(hashes), ROWS):
        distance = np.zeros((min(ROWS, len(hashes) - start), len(hashes) - start), dtype=np.uint16)
        for word in words:
            distance += np.bitwise_count(word[start : start + ROWS, None] ^ word[None, start:])
        for row, column in np.argwhere(distance <= max_distance):
            if row < column:
                pairs.append((start + int(row), start + int(column), int(distance[row, column])))
    return pairs
