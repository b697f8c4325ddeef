"""From encoded bytes to a square uint8 image, whole or cropped: the hot path of the stream.

JPEGs are decoded by libjpeg-turbo, shrunk by a power of two inside the decoder where the target allows it
(other fractions decode slower than the whole image). What is left to shrink is mostly less than twofold:
bilinear sampling still touches every pixel (43 dB and more against antialiased); beyond, it is antialiased.
Everything here releases the GIL and runs on one thread.
"""

from __future__ import annotations

import io
import threading

import cv2
import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image

cv2.setNumThreads(0)  # parallelism is over images; OpenCV's own threads would only fight for the cores

PLAIN_SHRINK = 2.0  # above this factor plain bilinear sampling skips pixels
_JPEG_MAGIC = b"\xff\xd8"


_scratch = threading.local()  # pixels between decoding and resizing; fresh memory costs page faults


class DecodeError(ValueError):
    """Bytes that are no image, or a broken one."""


def decode_into(data: bytes, out: np.ndarray, side: float = 1.0, x: float = 0.0, y: float = 0.0) -> None:
    """Decode an image, or a crop of it, straight into `out`, RGB uint8 of shape (size, size, 3), contiguous.

    The crop keeps `side` of the width and of the height; `x` and `y` in [0, 1] say where it lies between the
    left and right, top and bottom ends. Raises `DecodeError`.
    """
    image = _decode(data, out.shape[0] / side)
    height, width = image.shape[:2]
    if side < 1.0:
        crop_height, crop_width = max(1, round(height * side)), max(1, round(width * side))
        top, left = int((height - crop_height) * y + 0.5), int((width - crop_width) * x + 0.5)
        image = image[top : top + crop_height, left : left + crop_width]
    _resize(image, out)


def _decode(data: bytes, needed: float) -> np.ndarray:
    """RGB pixels (h, w, 3): the smallest version whose sides are at least `needed`, else the whole.

    They lie in the scratch memory of this thread, until its next call.
    """
    if data[:2] == _JPEG_MAGIC:
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            factor = _shrink_factor(min(height, width), needed)
            least = (height // factor, width // factor) if factor > 1 else (0, 0)
            room = -(-height // factor) * -(-width // factor) * 3
            return simplejpeg.decode_jpeg(
                data, min_height=least[0], min_width=least[1], buffer=_scratch_of(room)
            )
        except ValueError:
            pass  # CMYK, or a flaw that Pillow may forgive
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(str(error)) from error


def _scratch_of(size: int) -> np.ndarray:
    memory = getattr(_scratch, "memory", None)
    if memory is None or len(memory) < size:
        memory = _scratch.memory = np.empty(size, np.uint8)
    return memory


def _shrink_factor(short_side: int, needed: float) -> int:
    factor = 1
    while factor < 8 and short_side >= needed * factor * 2:
        factor *= 2
    return factor


def _resize(image: np.ndarray, out: np.ndarray) -> None:
    size = out.shape[0]
    height, width = image.shape[:2]
    if height == size and width == size:
        out[...] = image
    elif max(height, width) <= size * PLAIN_SHRINK:
        cv2.resize(image, (size, size), dst=out, interpolation=cv2.INTER_LINEAR)
    else:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        out[...] = resized[0].permute(1, 2, 0).numpy()
