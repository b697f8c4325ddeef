"""Drawn skin with a lesion whose place is known, and what cameras and people put over such pictures."""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.demo import draw
from data_tools.demo.lesion import draw_lesion

Picture = NDArray[np.uint8]
SIDE = 224


@dataclass
class Scene:
    """A hairless drawn lesion, and where it lies."""

    picture: Picture
    lesion: NDArray[np.bool_]


def scene(seed: int, side: int = SIDE) -> Scene:
    """A dermoscopic drawing of the lesion of a seed, without hairs."""
    lesion = draw_lesion(seed)
    with mock.patch.object(draw, "_hairs", lambda *_: None):
        picture = draw.draw_image(lesion, draw.DERMOSCOPIC, 0, side)
    view = draw._view(
        np.random.default_rng([lesion.seed, 1]), draw.DERMOSCOPIC, round(side * draw.OVERSAMPLING)
    )
    radius = draw._outline(lesion, np.random.default_rng([lesion.seed, 0]))
    inside = radius(np.arctan2(view.v, view.u)) > np.hypot(view.u, view.v)
    mask = cv2.resize(inside.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    return Scene(picture, mask)


def with_hairs(picture: Picture, seed: int, count: int = 12, width: int = 2) -> Picture:
    """Dark curved hairs across the whole picture."""
    rng = np.random.default_rng(seed)
    haired = picture.copy()
    height, wide = picture.shape[:2]
    t = np.linspace(0, 1, 30)[:, None]
    for _ in range(count):
        start, end = rng.uniform(0, 1, (2, 2)) * (wide, height)
        middle = (start + end) / 2 + rng.normal(0, 0.08, 2) * (wide, height)
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
        shade = tuple(float(value) for value in np.array([50, 38, 30]) * rng.uniform(0.6, 1.3))
        cv2.polylines(haired, [np.round(curve * 8).astype(np.int32)], False, shade, width, cv2.LINE_AA, 3)
    return haired


def with_frame(picture: Picture, left: int, top: int, right: int, bottom: int) -> Picture:
    """A dark frame of these widths around the whole picture."""
    framed = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(4, 3, 5))
    noise = np.random.default_rng(0).integers(0, 6, framed.shape)
    return np.where(framed < 8, noise, framed).astype(np.uint8)


def with_vignette(picture: Picture, radius: float) -> Picture:
    """Dark beyond a circle around the middle; `radius` as a share of half the longer side."""
    height, wide = picture.shape[:2]
    rows, columns = np.mgrid[:height, :wide]
    away = np.hypot(rows - height / 2, columns - wide / 2)
    light = np.clip((radius * max(height, wide) / 2 - away) / 4 + 0.5, 0, 1)
    return (picture * light[..., None]).astype(np.uint8)


def with_stamp(
    picture: Picture, text: str, at: tuple[float, float], colour: tuple[int, int, int], size: float = 0.5
) -> Picture:
    """Letters with their lower left corner at these shares of width and height."""
    height, wide = picture.shape[:2]
    where = (round(at[0] * wide), round(at[1] * height))
    return cv2.putText(
        picture.copy(), text, where, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA
    ).astype(np.uint8)


def with_ruler(picture: Picture, row: float = 0.93) -> Picture:
    """A black ruler along the lower edge: a bar with ticks."""
    ruled = picture.copy()
    height, wide = picture.shape[:2]
    y, step = round(row * height), round(0.04 * wide)
    ends = (round(0.2 * wide), round(0.2 * wide) + 15 * step)
    cv2.line(ruled, (ends[0], y), (ends[1], y), (0, 0, 0), 1)
    for tick, x in enumerate(range(ends[0], ends[1] + 1, step)):
        cv2.line(ruled, (x, y), (x, y - (8 if tick % 5 == 0 else 5)), (0, 0, 0), 1)
    return ruled
