"""Lesion crop: a square that holds the lesion, found by how far its colour is from that of the skin around.

The threshold is Otsu's (IEEE Trans. Systems, Man, and Cybernetics 9(1), 1979) on the distance in CIELAB.
Whoever finds nothing believable leaves the image as it is: a bad crop costs more than none.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.images.border import dark_border
from data_tools.images.open import Pixels
from data_tools.images.scale import Mask, shrunk

LONGEST = 160  # the lesion is looked for at this size, in pixels
RING = 0.12  # of the short side: the border ring that shows the skin
SMALLEST, LARGEST = 0.004, 0.6  # share of the image that a lesion takes
LEAST_CONTRAST = 10.0  # CIELAB distance of a lesion's colour from the skin's
LEAST_OVER_SKIN = 2.0  # that distance over the spread of the skin's own
MOST_AT_EDGE = 0.3  # share of its outline's box that may lie on the edge of the image
LEAST_SOLID = 0.55  # share of its convex hull that a lesion fills
LEAST_SIDE = 64  # pixels: a smaller square would be a blot
LITTLE = 0.95  # a square of more of the image's area than this is not worth cutting


def lesion_crop(image: Pixels, margin: float) -> Pixels:
    """A square with the lesion in its middle, where the image reaches so far; or the same array.

    `margin` is the room around the lesion as a share of its longer side. Nothing is cut where no lesion is
    found, where the square would cut it, or would hold all but the whole image.
    """
    small = shrunk(image, LONGEST)
    mask = lesion_mask(small)
    if mask is None:
        return image
    scale = image.shape[1] / small.shape[1]
    left, top, wide, high = (value * scale for value in cv2.boundingRect(mask))
    height, width = image.shape[:2]
    longer = max(wide, high)
    side = round(min(max(longer * (1 + 2 * margin), LEAST_SIDE), height, width))
    if side < longer or side * side >= LITTLE * height * width:
        return image
    x = round(min(max(left + wide / 2 - side / 2, 0), width - side))
    y = round(min(max(top + high / 2 - side / 2, 0), height - side))
    return np.ascontiguousarray(image[y : y + side, x : x + side])


def lesion_mask(image: Pixels) -> Mask | None:
    """Where the lesion lies in an image of about `LONGEST` pixels, or None if that is not to be told."""
    smooth = cv2.medianBlur(np.ascontiguousarray(image), 5)
    colours = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    outside = cv2.dilate(dark_border(image), np.ones((5, 5), np.uint8)) > 0
    skin = colours[_ring(image) & ~outside]
    if len(skin) < LONGEST:
        return None
    away = np.linalg.norm(colours - np.median(skin, axis=0), axis=2)
    away[outside] = 0
    mask = _above_otsu(away, ~outside)
    best = _likeliest(mask)
    return best if best is not None and _believable(best, away, ~outside) else None


def _ring(image: Pixels) -> NDArray[np.bool_]:
    height, width = image.shape[:2]
    band = max(2, round(RING * min(height, width)))
    ring = np.ones((height, width), dtype=bool)
    ring[band:-band, band:-band] = False
    return ring


def _above_otsu(away: NDArray[np.float32], seen: NDArray[np.bool_]) -> Mask:
    """Where the distance is above Otsu's threshold, without specks and holes."""
    levels = np.clip(away * 2, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[seen][None], 0, 255, cv2.THRESH_OTSU)
    mask = np.where(levels > threshold, 255, 0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(mask, outlines, -1, 255, cv2.FILLED), dtype=np.uint8)


def _likeliest(mask: Mask) -> Mask | None:
    """The connected part that is large and near the middle: area, weighed down by the distance from there."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    height, width = mask.shape
    away = np.hypot(*((centres - (width / 2, height / 2)) / (width / 2, height / 2)).T)
    score = stats[:, cv2.CC_STAT_AREA] * np.exp(-((away / 0.5) ** 2))
    score[0] = -1
    return np.where(labels == int(score.argmax()), 255, 0).astype(np.uint8)


def _believable(mask: Mask, away: NDArray[np.float32], seen: NDArray[np.bool_]) -> bool:
    """Whether size, shape, place and contrast are those of a lesion in whole skin."""
    lesion = mask > 0
    if not SMALLEST <= lesion.mean() <= LARGEST:
        return False
    rest = away[seen & ~lesion]
    contrast = float(away[lesion].mean())
    if len(rest) == 0 or contrast < max(LEAST_CONTRAST, LEAST_OVER_SKIN * float(rest.mean())):
        return False
    outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(outline[0]))
    edges = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
    _, _, wide, high = cv2.boundingRect(mask)
    solid = bool(np.count_nonzero(lesion) >= LEAST_SOLID * hull)
    return solid and bool(np.count_nonzero(edges) <= MOST_AT_EDGE * max(wide, high))
