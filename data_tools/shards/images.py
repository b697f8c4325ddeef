"""From an image file to the JPEG bytes that go into a shard."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

from data_tools.config import PackConfig

ORIENTATION = 0x0112  # EXIF tag: how the camera was held
UPRIGHT = 1
SIDEWAYS = 5  # orientations from here on swap width and height
REDUCING_GAP = 3.0  # box-shrink to three times the wanted size, then Lanczos: as good, and much faster


class UnusableImage(Exception):  # noqa: N818 - a finding about a file, not a failure
    """An image file that cannot go into a shard; the message says why."""


def jpeg_bytes(path: Path, pack: PackConfig) -> bytes:
    """JPEG bytes of an image file, upright, RGB or grey, its short side at most `pack.short_side` pixels.

    A JPEG file that is so already is passed on byte for byte, once it has been decoded whole. Raises
    `UnusableImage` for files that are missing or cannot be decoded.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            size = _target_size(image.size, pack.short_side)
            if _storable(image) and size == image.size:
                image.load()  # raises for a truncated or damaged file
                return data
            return _encode(image, size, pack.quality)
    except UnusableImage:
        raise
    except FileNotFoundError as error:
        raise UnusableImage("file is missing") from error
    except Exception as error:  # Pillow's decoders raise errors of many families
        raise UnusableImage(f"cannot be decoded: {_reason(error, path)}") from error


def _target_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height after shrinking to `short_side` (0: any size), the aspect kept."""
    if not short_side or min(size) <= short_side:
        return size
    scale = short_side / min(size)
    return max(short_side, round(size[0] * scale)), max(short_side, round(size[1] * scale))


def _storable(image: Image.Image) -> bool:
    """Whether every JPEG reader sees the same picture: EXIF rotation and CMYK are read in several ways."""
    upright = image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
    return image.format == "JPEG" and image.mode in ("RGB", "L") and upright


def _encode(image: Image.Image, size: tuple[int, int], quality: int) -> bytes:
    if image.mode.startswith(("I", "F")):
        raise UnusableImage(f"pixels of mode {image.mode} have no 8-bit colours")
    sideways = image.getexif().get(ORIENTATION, UPRIGHT) >= SIDEWAYS
    image.draft(None, size)  # JPEG: decode at a fraction of the size where that is enough
    upright = ImageOps.exif_transpose(image)
    size = (size[1], size[0]) if sideways else size
    colours = upright if upright.mode in ("RGB", "L") else upright.convert("RGB")
    if colours.size != size:
        colours = colours.resize(size, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    buffer = io.BytesIO()
    colours.save(buffer, "JPEG", quality=quality, exif=b"")
    return buffer.getvalue()


def _reason(error: Exception, path: Path) -> str:
    """One line without paths or addresses of this machine, so that rejects.csv is the same everywhere."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.replace(str(path), path.name)
