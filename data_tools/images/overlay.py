"""Burnt-in text: letters, date stamps and rulers that lie in an image are painted over.

Written marks are looked for, not read: small parts of one sharp brightness, several of a kind in a row.
Letters that hardly stand out, such as pale ones on light skin, are not told from skin, and stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.images.open import Pixels
from data_tools.images.scale import Mask, enlarged, odd, shrunk

LONGEST = 1024  # letters are looked for at this size at most, in pixels
CONTRAST, COLOUR_CONTRAST = 45, 75  # of 255, to the surroundings: in grey, and in one channel alone
SMALLEST, LARGEST = 0.018, 0.14  # height of a letter as a share of the short side
LEAST_PIXELS = 4  # height of the smallest letter that can be told from noise
WIDEST = 2.2  # of a letter, in its heights
LEAST_EVEN = 0.75  # share of a mark's pixels that have nearly its own brightness
EVEN = 0.35  # "nearly": within this share of its contrast
LEAST_LETTERS, CENTRAL_LETTERS = 4, 8  # in a row; where lesions are, so many dots may happen to be in one
CENTRE = 0.5  # of width and height: where lesions are
SHIFT, UNLIKE, GAP = 0.3, 0.3, 1.6  # of letters of a row: off the line, in height, apart; all in heights
BAR_LENGTH, BAR_SLENDER, BAR_TICKS = 0.2, 6.0, 6  # a ruler: share of the width, length over height, ticks
SHADE = 12.0  # of 255, letters of a row differ at most, and so does what completes it
FAINTER = 0.5  # of the contrast is enough beside a row: its other letters may be thin, or run together
REACH = 3  # pixels from which a mark is painted over


@dataclass(frozen=True)
class Part:
    """A connected part of one brightness: its number, its box in pixels, and that brightness."""

    number: int
    x: int
    y: int
    wide: int
    high: int
    shade: float = 0.0


def without_overlay(image: Pixels) -> Pixels:
    """The image without burnt-in letters and rulers; the same array where there are none."""
    small = shrunk(image, LONGEST)
    mask = overlay_mask(small)
    if not mask.any():
        return image
    return np.asarray(cv2.inpaint(image, enlarged(mask, image), REACH, cv2.INPAINT_TELEA), dtype=np.uint8)


def overlay_mask(image: Pixels) -> Mask:
    """Where letters and rulers lie, with their soft edges: bright ones, dark ones, in rows and in columns."""
    mask = np.zeros(image.shape[:2], np.uint8)
    # Coloured letters stand out in the red channel or in the blue one: yellow ones are dark in that.
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shades = ((grey, CONTRAST), (image[..., 0], COLOUR_CONTRAST), (image[..., 2], COLOUR_CONTRAST))
    for shade, contrast in shades:
        for view in (shade, 255 - shade):
            mask |= _marks(np.ascontiguousarray(view), contrast)
            mask |= _marks(np.ascontiguousarray(view.T), contrast).T
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=2), dtype=np.uint8)


def _marks(grey: NDArray[np.uint8], least: int) -> Mask:
    """The marks, brighter by `least` than what is around them, that stand in horizontal rows."""
    side = min(grey.shape)
    block = cv2.getStructuringElement(cv2.MORPH_RECT, (odd(LARGEST * side / 2),) * 2)
    answer = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, block), dtype=np.uint8)
    count, found, stats, _ = cv2.connectedComponentsWithStats((answer >= least).astype(np.uint8))
    labels = np.asarray(found, dtype=np.int32)
    parts = [Part(i, *(int(v) for v in stats[i, :4])) for i in range(1, count)]
    letters = [part for part in parts if _could_be_letter(part, side)]
    letters = [replace(part, shade=_shade(part, labels, grey)) for part in letters]
    letters = [part for part in letters if _is_even(part, labels, grey, answer)]
    rows = [row for row in _rows(letters) if len(row) >= _least_letters(row, grey.shape)]
    kept = {part.number for row in rows for part in row}
    kept |= {part.number for part in parts if _is_ruler(part, labels)}
    mask = np.where(np.isin(labels, list(kept)), 255, 0).astype(np.uint8)
    for row in rows:
        _complete(mask, row, grey, answer >= FAINTER * least)
    return mask


def _complete(mask: Mask, row: list[Part], grey: NDArray[np.uint8], faint: NDArray[np.bool_]) -> None:
    """Add to a mask what is `faint` and of a row's shade on its line, as far on either side as it is long."""
    start, end = row[0].x, max(part.x + part.wide for part in row)
    top, bottom = min(part.y for part in row), max(part.y + part.high for part in row)
    shade = float(np.median([part.shade for part in row]))
    alike = faint[top:bottom] & (np.abs(grey[top:bottom] - shade) <= SHADE)
    columns, gap = np.flatnonzero(alike.any(axis=0)), GAP * (bottom - top)
    left, right = start, end
    for x in columns[(columns >= end) & (columns < 2 * end - start)].tolist():
        right = x + 1 if x - right <= gap else right
    for x in columns[(columns < start) & (columns >= 2 * start - end)][::-1].tolist():
        left = x if left - x <= gap else left
    mask[top:bottom, left:right][alike[:, left:right]] = 255


def _could_be_letter(part: Part, side: int) -> bool:
    least = max(SMALLEST * side, LEAST_PIXELS)
    return least <= part.high <= LARGEST * side and part.wide <= WIDEST * part.high


def _shade(part: Part, labels: NDArray[np.int32], grey: NDArray[np.uint8]) -> float:
    box = (slice(part.y, part.y + part.high), slice(part.x, part.x + part.wide))
    return float(np.percentile(grey[box][labels[box] == part.number], 80))


def _is_even(part: Part, labels: NDArray[np.int32], grey: NDArray[np.uint8], answer: Mask) -> bool:
    """Whether a part has one brightness: written marks have, what grows in skin has not."""
    box = (slice(part.y, part.y + part.high), slice(part.x, part.x + part.wide))
    inside = labels[box] == part.number
    shade, contrast = grey[box][inside].astype(float), float(answer[box][inside].max())
    own = np.percentile(shade, 90)
    return float((shade >= own - EVEN * contrast).mean()) >= LEAST_EVEN


def _rows(letters: list[Part]) -> list[list[Part]]:
    """Letters of like height that follow each other on a line."""
    rows: list[list[Part]] = []
    for part in sorted(letters, key=lambda part: part.x):
        for row in rows:
            if _follows(row[-1], part):
                row.append(part)
                break
        else:
            rows.append([part])
    return rows


def _least_letters(row: list[Part], shape: tuple[int, ...]) -> int:
    """How many letters make a row that is to be believed, by where its middle lies."""
    x = (row[0].x + row[-1].x + row[-1].wide) / 2 / shape[1] - 0.5
    y = (row[0].y + row[0].high / 2) / shape[0] - 0.5
    return CENTRAL_LETTERS if max(abs(x), abs(y)) < CENTRE / 2 else LEAST_LETTERS


def _follows(last: Part, part: Part) -> bool:
    high = max(last.high, part.high)
    below = abs(last.y + last.high - part.y - part.high) <= SHIFT * high
    alike = abs(last.high - part.high) <= UNLIKE * high
    alike = alike and abs(last.shade - part.shade) <= SHADE
    return below and alike and -SHIFT * high <= part.x - last.x - last.wide <= GAP * high


def _is_ruler(part: Part, labels: NDArray[np.int32]) -> bool:
    """Whether a part is a long bar with ticks: some line along it meets many of them."""
    if part.wide < BAR_LENGTH * labels.shape[1] or part.wide < BAR_SLENDER * part.high:
        return False
    box = labels[part.y : part.y + part.high, part.x : part.x + part.wide] == part.number
    starts = np.count_nonzero(np.diff(box.astype(np.int8), axis=1) > 0, axis=1)
    return int(starts.max()) >= BAR_TICKS
