"""Working sizes and line elements that the steps of preparation share."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.images.open import Pixels

Mask = NDArray[np.uint8]  # (height, width), 0 or 255


def shrunk(image: Pixels, longest: int) -> Pixels:
    """The image with its longer side at most `longest` pixels: what looks for something works on that."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def enlarged(mask: Mask, image: Pixels) -> Mask:
    """A mask that was found on a shrunk image, at the size of `image`."""
    if mask.shape == image.shape[:2]:
        return mask
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


@cache
def line(length: int, degrees: float) -> Mask:
    """A structuring element: a line through the centre, one pixel thick, `length` (odd) pixels long."""
    assert length % 2, f"a line of {length} pixels has no middle"
    half = length // 2
    angle = np.deg2rad(degrees)
    x, y = round(half * float(np.cos(angle))), round(half * float(np.sin(angle)))
    element = np.zeros((2 * abs(y) + 1, 2 * abs(x) + 1), np.uint8)
    centre = (abs(x), abs(y))
    cv2.line(element, (centre[0] - x, centre[1] - y), (centre[0] + x, centre[1] + y), 1)
    return element


def odd(length: float, least: int = 3) -> int:
    """The odd whole number at or above `length`, and at least `least`."""
    return max(least, 2 * int(np.ceil((length - 1) / 2)) + 1)
