"""The canvas that lesions are drawn on: geometry, soft shapes and how they are laid over each other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]  # (side, side, 3) RGB in 0..255, or (side, side)
Colour = tuple[int, int, int]


@dataclass
class View:
    """One photograph: pixel <-> lesion geometry, the shape of the lesion in it, and its randomness."""

    side: int  # pixels of the drawing
    scale: float  # pixels per millimetre
    turn: float  # radians
    mirror: float  # 1 or -1
    centre: tuple[float, float]  # pixels
    u: Canvas  # lesion coordinates of every pixel, millimetres
    v: Canvas
    rng: np.random.Generator

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Map (n, 2) millimetres to (n, 2) pixels with 3 fractional bits, as cv2 takes them (shift=3)."""
        x, y = points[:, 0] * self.mirror, points[:, 1]
        c, s = np.cos(self.turn), np.sin(self.turn)
        turned = np.stack([c * x - s * y, s * x + c * y], axis=1)
        return np.round((turned * self.scale + np.array(self.centre)) * 8).astype(np.int32)

    def length(self, millimetres: float) -> int:
        """Millimetres as a whole number of pixels, at least 1."""
        return max(1, round(millimetres * self.scale))


def step(x: Canvas) -> Canvas:
    """A smooth step from 0 to 1 around x = 0."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)


def blend(picture: Canvas, over: Canvas | Colour, share: Canvas) -> None:
    """Lay a picture or a colour over `picture`, in place, with a share for every pixel."""
    picture += share[..., None] * (np.asarray(over, np.float32) - picture)


def disc(view: View, centre: tuple[float, float], radius: float, wobble: Canvas) -> Canvas:
    """Share in [0, 1] of a soft disc whose edge follows `wobble`."""
    away = np.hypot(view.u - centre[0], view.v - centre[1]) / radius + wobble
    return step((1 - away) * 9)


def cloud(view: View, shape: np.random.Generator, radius: float) -> Canvas:
    """Smooth noise fixed to the lesion, about unit variance."""
    grid = shape.normal(0, 1, (12, 12)).astype(np.float32)
    step = 5.5 / (1.4 * radius)
    u, v = view.u * step + 5.5, view.v * step + 5.5
    values = cv2.remap(grid, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(values, dtype=np.float32)
