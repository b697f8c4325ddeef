"""Border crop: a dark frame, or the round edge that a dermoscope's lens leaves, is cut away."""

from __future__ import annotations

import cv2
import numpy as np

from data_tools.images.open import Pixels
from data_tools.images.scale import Mask, shrunk

LONGEST = 160  # the border is looked for at this size, in pixels
DARKNESS = 0.38  # of the middle's brightness: darker is border
BRIGHTEST = 80  # of 255: what is brighter is no border, whatever the middle
LEAST_SHARE = 0.004  # of the pixels: a smaller border is none
LEAST_KEPT = 0.3  # of the pixels: a crop that keeps less has not met a border
CONVEX = (
    0.965  # share of its convex hull that a field of view fills; one that a dark lesion has bitten does not
)

Box = tuple[int, int, int, int]  # left, top, right, bottom: pixels, the last two beyond the box


def without_border(image: Pixels) -> Pixels:
    """The largest rectangle of the image without its dark border; the same array where there is none."""
    small = shrunk(image, LONGEST)
    dark = dark_border(small)
    if np.count_nonzero(dark) < LEAST_SHARE * dark.size:
        return image
    rim = cv2.dilate(dark, np.ones((3, 3), np.uint8))
    left, top, right, bottom = largest_box(rim == 0)
    if (right - left) * (bottom - top) < LEAST_KEPT * dark.size:
        return image
    y, x = image.shape[0] / small.shape[0], image.shape[1] / small.shape[1]
    rows = slice(int(np.ceil(top * y)), int(bottom * y))
    return np.ascontiguousarray(image[rows, int(np.ceil(left * x)) : int(right * x)])


def dark_border(image: Pixels) -> Mask:
    """Where a dark border lies in an image of about `LONGEST` pixels; nowhere if no field of view is left."""
    height, width = image.shape[:2]
    brightness = cv2.GaussianBlur(image, (3, 3), 0).max(axis=2)
    middle = brightness[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
    limit = min(DARKNESS * float(np.median(middle)), BRIGHTEST)
    _, labels = cv2.connectedComponents((brightness < limit).astype(np.uint8), connectivity=4)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    dark = np.where(np.isin(labels, list(corners)), 255, 0).astype(np.uint8)
    return dark if _is_field(dark == 0) else np.zeros_like(dark)


def largest_box(free: np.ndarray) -> Box:
    """The rectangle of largest area in a boolean picture (height, width) that holds true pixels only."""
    best, box = 0, (0, 0, 0, 0)
    heights = np.zeros(free.shape[1] + 1, dtype=int)  # true pixels above; the last column ends every row
    for bottom, row in enumerate(free, start=1):
        heights[:-1] = np.where(row, heights[:-1] + 1, 0)
        open_boxes: list[tuple[int, int]] = []  # left end and height, rising
        for right, tall in enumerate(heights.tolist()):
            left = right
            while open_boxes and open_boxes[-1][1] >= tall:
                left, high = open_boxes.pop()
                if high * (right - left) > best:
                    best, box = high * (right - left), (left, bottom - high, right, bottom)
            open_boxes.append((left, tall))
    return box


def _is_field(free: np.ndarray) -> bool:
    """Whether what a border leaves is convex, as a circle, a rectangle and their common part are."""
    field = free.astype(np.uint8)
    outlines, _ = cv2.findContours(field, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return False
    largest = max(outlines, key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(largest))
    return hull > 0 and cv2.contourArea(largest) >= CONVEX * hull
