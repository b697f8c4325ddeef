"""Hair removal: dark hairs are found by black-hat morphology, then painted over from their edges.

The idea is that of DullRazor (Lee et al., "DullRazor: a software approach to hair removal from images",
Computers in Biology and Medicine 27(6), 1997): closings by lines of several orientations. A line across a
hair fills it, a line along it does not; a dark dot is filled by all of them, so the difference between the
strongest and the weakest answer tells hairs from dots. What is left must be long and straight, which the
meshes of a pigment network are not.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.images.open import Pixels
from data_tools.images.scale import Mask, enlarged, line, odd, shrunk

LONGEST = 768  # hairs are looked for at this size at most, in pixels
ACROSS = 0.055  # longer than a hair is wide, as a share of the short side
ALONG = 0.15  # a hair is straight over this share of the short side
FAINT, CLEAR = 12, 26  # contrast (of 255) of pixels of a hair, and of those that make it one
AROUND, DENSEST = 0.2, 0.38  # window, as a share of the short side, and the share of it that hairs take
CLEAR_SHARE = 0.3  # of the pixels of a hair are clear ones
CLOSINGS, STRAIGHTS = 8, 16  # orientations
WIDEST = 0.036  # of a hair, as a share of the short side: what is wider is a lesion or a shadow
CROSSING = 3.0  # largest crossing of hairs, in discs of that width
SLENDER = 3.5  # least length of a hair over its width
LEAST_SHARE, MOST_SHARE = 0.0005, 0.45  # of the pixels: less is no hair, under more nothing is to be seen
REACH = 3  # pixels from which a hair is painted over
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def without_hair(image: Pixels) -> Pixels:
    """The image without dark hairs; the same array where there are none, or hardly anything else."""
    small = shrunk(image, LONGEST)
    mask = hair_mask(small)
    if not LEAST_SHARE <= np.count_nonzero(mask) / mask.size <= MOST_SHARE:
        return image
    return np.asarray(cv2.inpaint(image, enlarged(mask, image), REACH, cv2.INPAINT_TELEA), dtype=np.uint8)


def hair_mask(image: Pixels) -> Mask:
    """Where hairs lie, with their soft edges, in an image of at most `LONGEST` pixels."""
    side = min(image.shape[:2])
    answer = _line_answer(image, odd(ACROSS * side, 7))
    faint = np.where(answer >= FAINT, 255, 0).astype(np.uint8)
    thin = _thin_parts(faint, odd(WIDEST * side, 5))
    straight = _straight_parts(thin, odd(ALONG * side, 9))
    sparse = np.where(_density(faint, odd(AROUND * side)) > DENSEST, 0, straight).astype(np.uint8)
    hairs = _hairs(sparse, faint, answer)
    for _ in range(odd(WIDEST * side, 5)):  # over crossings and bends, as far as a hair is wide
        hairs = np.where(answer >= FAINT, cv2.dilate(hairs, CROSS), 0).astype(np.uint8) | hairs
    return np.asarray(cv2.dilate(hairs, np.ones((3, 3), np.uint8)), dtype=np.uint8)


def _line_answer(image: Pixels, across: int) -> Mask:
    """How much darker than both its sides, but not than what lies along it, every pixel is.

    The red channel is taken: melanin and blood darken it less than they do green and blue, hair does.
    """
    red = cv2.GaussianBlur(np.ascontiguousarray(image[..., 0]), (3, 3), 0)
    angles = [180 * k / CLOSINGS for k in range(CLOSINGS)]
    answers = [cv2.morphologyEx(red, cv2.MORPH_BLACKHAT, line(across, angle)) for angle in angles]
    strongest, weakest = np.maximum.reduce(answers), np.minimum.reduce(answers)
    return np.asarray(strongest - weakest, dtype=np.uint8)


def _thin_parts(mask: Mask, widest: int) -> Mask:
    """A mask without lesions: parts that hold a disc of `widest` pixels, with what hems them.

    Small such parts are crossings of hairs, and stay.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (widest, widest))
    thick = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(thick)
    large = stats[:, cv2.CC_STAT_AREA] > CROSSING * np.count_nonzero(disc)
    large[0] = False
    lesion = cv2.dilate(np.where(large[labels], 255, 0).astype(np.uint8), disc)
    return np.asarray(cv2.subtract(mask, lesion), dtype=np.uint8)


def _density(mask: Mask, around: int) -> NDArray[np.float32]:
    """Share of the mask in a window of `around` pixels: the meshes of a network lie closer than hairs."""
    return np.asarray(cv2.blur((mask > 0).astype(np.float32), (around, around)), dtype=np.float32)


def _straight_parts(mask: Mask, along: int) -> Mask:
    """The parts of a mask that hold a straight line of `along` pixels."""
    thick = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    angles = [180 * k / STRAIGHTS for k in range(STRAIGHTS)]
    opened = [cv2.morphologyEx(thick, cv2.MORPH_OPEN, line(along, angle)) for angle in angles]
    return np.asarray(np.maximum.reduce(opened), dtype=np.uint8)


def _hairs(mask: Mask, faint: Mask, answer: Mask) -> Mask:
    """The connected parts of a mask that are slender in `faint`, a good share of their pixels clear."""
    count, found = cv2.connectedComponents(mask)
    labels = np.asarray(found, dtype=np.intp)
    size = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    clear = np.bincount(labels.ravel(), weights=(answer >= CLEAR).ravel(), minlength=count)
    half_width = np.zeros(count)
    np.maximum.at(half_width, labels.ravel(), cv2.distanceTransform(faint, cv2.DIST_L2, 3).ravel())
    slender = size >= SLENDER * (2 * half_width) ** 2  # length x width over width squared
    kept = slender & (clear >= CLEAR_SHARE * size)
    kept[0] = False
    return np.where(kept[labels], 255, 0).astype(np.uint8)
