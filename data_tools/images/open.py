"""Opening an image file of any kind as upright RGB pixels, without decoding one that is too large."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

WHITE = (255, 255, 255)
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")  # 16 bits per pixel, as PNG and TIFF have them
DEEP_TO_BYTE = 257  # 65535 / 255


class UnusableImage(Exception):  # noqa: N818 - a finding about a file, not a failure
    """An image file that cannot be used; the message says why."""


def open_rgb(path: Path, max_pixels: int) -> Pixels:
    """Pixels of an image file, turned as its EXIF orientation says.

    Transparent pixels are laid over white, 16-bit grey is scaled to 8 bits, and of several frames the first
    is taken. Raises `UnusableImage` for a file that is missing, cannot be decoded, or has more than
    `max_pixels`: those are counted in its header, before any pixel is decoded.
    """
    with reading(path, max_pixels) as (image, _):
        return np.asarray(upright_colours(image).convert("RGB"))


@contextmanager
def reading(path: Path, max_pixels: int) -> Iterator[tuple[Image.Image, bytes]]:
    """An image file with its header read, and the file's bytes. Errors are those of `open_rgb`."""
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit comes next
            image = Image.open(io.BytesIO(data))
        with image:
            refuse_large(image, max_pixels)
            yield image, data
    except UnusableImage:
        raise
    except FileNotFoundError as error:
        raise UnusableImage("file is missing") from error
    except Image.DecompressionBombError as error:
        raise UnusableImage("has more pixels than Pillow takes for safe to decode") from error
    except Exception as error:  # Pillow's decoders raise errors of many families
        raise UnusableImage(f"cannot be decoded: {_reason(error, path)}") from error


def refuse_large(image: Image.Image, max_pixels: int) -> None:
    """Raise `UnusableImage` if the header of an image that is not decoded yet tells of too many pixels."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage(f"{width} x {height} pixels are more than prepare.max_pixels={max_pixels}")


def upright_colours(image: Image.Image) -> Image.Image:
    """The image turned upright, of mode RGB or L. Raises `UnusableImage` for pixels that are no colours."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGB", "L") and not upright.has_transparency_data:
        return upright
    if upright.mode in DEEP_GREY:
        deep = np.asarray(upright).astype(np.uint16)
        return Image.fromarray(np.round(deep / DEEP_TO_BYTE).astype(np.uint8))
    if upright.mode.startswith(("I", "F")):
        raise UnusableImage(f"pixels of mode {upright.mode} have no 8-bit colours")
    if upright.has_transparency_data:
        # Nobody ever saw the colour of a transparent pixel: often black, or remains of an older picture.
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return upright.convert("RGB")


def _reason(error: Exception, path: Path) -> str:
    """One line without paths or addresses of this machine, so that rejects.csv is the same everywhere."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.replace(str(path), path.name)
