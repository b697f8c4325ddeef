"""A picture as a language model is shown it: prepared, shrunk, as JPEG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from data_tools.config import PrepareConfig
from data_tools.images.open import open_rgb
from data_tools.images.prepare import prepare as prepare_image

JPEG_QUALITY = 92  # another one makes other notes (`keys`)


def image_bytes(path: Path, side: int, prepare: PrepareConfig) -> bytes:
    """JPEG of the image after the steps of `prepare`, its longer side at most `side` pixels.

    The same file and settings give the same bytes. Raises `UnusableImage` as `open_rgb`.
    """
    image = prepare_image(open_rgb(path, prepare.max_pixels), prepare)
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=JPEG_QUALITY, colorspace="RGB")
