"""From an image file to the JPEG bytes that go into a shard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from data_tools.config import PackConfig, PrepareConfig
from data_tools.images.jpegfile import without_metadata
from data_tools.images.open import UnusableImage, reading, upright_colours
from data_tools.images.prepare import prepare, steps_of

__all__ = ["UnusableImage", "jpeg_bytes"]

ORIENTATION = 0x0112  # EXIF tag: how the camera was held
UPRIGHT = 1
SIDEWAYS = 5  # orientations from here on swap width and height
REDUCING_GAP = 3.0  # box-shrink to three times the wanted size, then Lanczos: as good, and much faster
AS_JPEG = ("JPEG", "MPO")  # MPO: a JPEG with further pictures behind it


def jpeg_bytes(path: Path, pack: PackConfig, preparation: PrepareConfig) -> bytes:
    """JPEG bytes of an image file: prepared, upright, RGB or grey, its short side at most `pack.short_side`.

    They hold the picture and nothing else: no EXIF, XMP, colour profile, comment or thumbnail. The picture
    of a JPEG file that is so already is kept bit for bit, once it has been decoded whole. Raises
    `UnusableImage` for files that are missing, too large or cannot be decoded.
    """
    with reading(path, preparation.max_pixels) as (image, data):
        kept = _kept_bytes(image, data)
        if steps_of(preparation):
            return _prepared(image, kept, pack, preparation)
        size = _target_size(image.size, pack.short_side)
        if kept is not None and size == image.size:
            image.load()  # raises for a truncated or damaged file
            return kept
        sideways = image.getexif().get(ORIENTATION, UPRIGHT) >= SIDEWAYS
        image.draft(None, size)  # JPEG: decode at a fraction of the size where that is enough
        size = (size[1], size[0]) if sideways else size
        return _encode(upright_colours(image), size, pack.quality)


def _prepared(image: Image.Image, kept: bytes | None, pack: PackConfig, preparation: PrepareConfig) -> bytes:
    """The image after preparation; `kept`, if it can be had, where there was nothing to do."""
    pixels = np.asarray(upright_colours(image).convert("RGB"))
    prepared = prepare(pixels, preparation)
    size = _target_size((prepared.shape[1], prepared.shape[0]), pack.short_side)
    if prepared is pixels and kept is not None and size == image.size:
        return kept
    return _encode(Image.fromarray(prepared), size, pack.quality)


def _kept_bytes(image: Image.Image, data: bytes) -> bytes | None:
    """The file without its metadata if every JPEG reader would see its picture as it is, or None.

    EXIF rotation and CMYK are read in several ways.
    """
    upright = image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
    if image.format not in AS_JPEG or image.mode not in ("RGB", "L") or not upright:
        return None
    try:
        return without_metadata(data)
    except ValueError:  # Pillow forgives more than we do
        return None


def _target_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height after shrinking to `short_side` (0: any size), the aspect kept."""
    if not short_side or min(size) <= short_side:
        return size
    scale = short_side / min(size)
    return max(short_side, round(size[0] * scale)), max(short_side, round(size[1] * scale))


def _encode(image: Image.Image, size: tuple[int, int], quality: int) -> bytes:
    """JPEG bytes of an upright image of mode RGB or L, resized to `size`."""
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    image.info = {}  # Pillow would write a comment that it has read
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
