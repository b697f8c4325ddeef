"""Near-duplicates: images whose difference hashes differ in few bits.

The hash compares neighbouring pixels of the shrunk gray image, so it survives rescaling, another
compression and small colour changes. It does not survive turning or mirroring: for those the eight
orientations of one image of a pair are compared with the other as it is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_tools.config import DedupConfig, PrepareConfig
from data_tools.workers import cores
from mmfm.errors import ConfigError
from mmfm.progress import track

Hashes = NDArray[np.uint64]  # (images, orientations, words)
Pairs = NDArray[np.int64]  # (pairs, 3): two images, the first below the second, and their distance in bits
ImageFile = Path | bytes

ROWS, COLUMNS = 64, 4096  # hashes compared at once: what is in between fits into the processor's cache
FIRST_WORDS = 3  # compared of all pairs: most differ in them already, and a byte counts them
WORD = 64  # bits
AHEAD = 512  # images
TURNS = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
)


def find_duplicates(
    images: list[Path], sets: list[str], cfg: DedupConfig, max_pixels: int = PrepareConfig.max_pixels
) -> list[tuple[int, int, int]]:
    """Pairs (i, j, distance), i < j, of images whose Hamming distance is within the bound of `cfg`.

    `sets` names the set of each image: pairs of one set and pairs across sets have bounds of their own.
    Images that cannot be read, or have more than `max_pixels`, and images without any contrast have no
    duplicates: packing reports the first, and a hash tells nothing of the second. Time of comparing grows
    with the square of the number of images: half a minute for 100,000.
    """
    check(cfg)
    places, hashes = hash_images(images, len(images), cfg, max_pixels)
    pairs = near_pairs(hashes, max(cfg.max_distance, cfg.max_distance_across))
    named = ((int(places[i]), int(places[j]), int(distance)) for i, j, distance in pairs)
    bounds = (cfg.max_distance_across, cfg.max_distance)
    return [(i, j, distance) for i, j, distance in named if distance <= bounds[sets[i] == sets[j]]]


def check(cfg: DedupConfig) -> None:
    """Raise `ConfigError` for settings that nothing can be found with."""
    if cfg.hash_side < 2 or min(cfg.max_distance, cfg.max_distance_across) < 0:
        raise ConfigError(
            f"dedup: hash_side={cfg.hash_side} must be at least 2, max_distance={cfg.max_distance} and "
            f"max_distance_across={cfg.max_distance_across} at least 0"
        )


def hash_images(
    images: Iterable[ImageFile], count: int, cfg: DedupConfig, max_pixels: int
) -> tuple[NDArray[np.int64], Hashes]:
    """The hashes of those of `count` images that have one, and their places among `images`.

    Images are files, or encoded ones. Each has one orientation, or all eight if `cfg.turned`.
    """
    turns = TURNS if cfg.turned else ()
    hashing = partial(difference_hash, side=cfg.hash_side, turns=turns, max_pixels=max_pixels)
    # The decoders let other threads run, so threads do here what processes would.
    with ThreadPoolExecutor(cores()) as pool:
        hashed = track(_mapped(pool, hashing, images), "hashing", count)
        found = [(place, words) for place, words in enumerate(hashed) if words is not None]
    if not found:
        return np.zeros(0, np.int64), np.zeros((0, 1, 1), np.uint64)
    return np.array([place for place, _ in found]), np.stack([words for _, words in found])


def difference_hash(
    image: ImageFile,
    side: int,
    turns: Iterable[Image.Transpose] = (),
    max_pixels: int = PrepareConfig.max_pixels,
) -> Hashes | None:
    """Hashes of side x side bits, of an upright image and after each of `turns`; None if there is none.

    The shape is (1 + turns, words) with ceil(side * side / 64) uint64 words.
    """
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            if opened.width * opened.height > max_pixels:
                return None
            opened.draft("L", (side * 8, side * 8))  # the JPEG decoder may skip what the hash does not see
            upright = ImageOps.exif_transpose(opened).convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if turns:  # seven more times the whole picture would be dear
        upright.thumbnail((side * 8, side * 8))
    views = [upright, *(upright.transpose(turn) for turn in turns)]
    bits = [imagehash.dhash(view, hash_size=side).hash.ravel() for view in views]
    return np.stack([_words(one) for one in bits]) if bits[0].any() else None


def near_pairs(hashes: Hashes, max_distance: int) -> Pairs:
    """All pairs of `hashes` that differ in at most `max_distance` bits in some orientation, sorted.

    Of a pair's orientations the nearest counts.
    """
    views = np.ascontiguousarray(hashes.transpose(1, 2, 0))  # (orientations, words, images)
    starts = range(0, len(hashes), ROWS)
    with ThreadPoolExecutor(cores()) as pool:
        blocks = pool.map(partial(_pairs_of_rows, views, max_distance), starts)
        found = [block for part in track(blocks, "comparing", len(starts)) for block in part]
    if not found:
        return np.zeros((0, 3), np.int64)
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort(pairs.T[::-1])]  # by both images, then by distance
    first = np.ones(len(pairs), dtype=bool)
    first[1:] = (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1)
    return pairs[first]


def _pairs_of_rows(views: NDArray[np.uint64], max_distance: int, start: int) -> list[Pairs]:
    """Pairs of `ROWS` images from `start` on, in each of their orientations, with all after them."""
    plain, count = views[0], views.shape[2]
    few = min(FIRST_WORDS, -(-len(plain) // 2))
    found = []
    for view in views:
        for left in range(start, count, COLUMNS):
            rows, columns = slice(start, min(start + ROWS, count)), slice(left, min(left + COLUMNS, count))
            distance = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
            for one, other in zip(view[:few], plain[:few], strict=True):
                distance += np.bitwise_count(one[rows, None] ^ other[None, columns])
            row, column = np.nonzero(distance <= max_distance)
            i, j = row + start, column + left
            i, j = i[i < j], j[i < j]
            bits = np.bitwise_count(view[:, i] ^ plain[:, j]).sum(axis=0, dtype=np.int64)
            near = bits <= max_distance
            found.append(np.stack([i[near], j[near], bits[near]], axis=1))
    return found


def _mapped(
    pool: ThreadPoolExecutor, work: Callable[[ImageFile], Hashes | None], images: Iterable[ImageFile]
) -> Iterator[Hashes | None]:
    """As `pool.map`, but it takes from `images` no further ahead than `AHEAD`: they may be whole files."""
    remaining = iter(images)
    while batch := list(islice(remaining, AHEAD)):
        yield from pool.map(work, batch)


def _words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros(-(-bits.size // WORD) * WORD, dtype=bool)
    padded[: bits.size] = bits
    return np.packbits(padded).view(np.uint64)
