"""The structures inside a lesion, each drawn onto its body or, for streaks, across its border."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.demo.canvas import Canvas, Colour, View, blend, cloud, disc
from data_tools.demo.lesion import Lesion

COLOURS = {
    "light brown": (168, 112, 68),
    "dark brown": (96, 56, 34),
    "black": (34, 26, 26),
    "blue-gray": (92, 108, 138),
    "red": (190, 48, 44),
    "pink": (226, 138, 138),
    "purple": (118, 38, 88),
    "white": (238, 232, 226),
    "yellow": (214, 178, 92),
}  # fmt: skip


def _scatter(shape: np.random.Generator, count: int, reach: float) -> NDArray[np.float64]:
    """(count, 2) points spread evenly over a disc of radius `reach`."""
    angle, away = shape.uniform(0, 2 * np.pi, count), reach * np.sqrt(shape.uniform(0, 1, count))
    return np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)


def _spots(
    body: Canvas, view: View, points: NDArray[np.float64], sizes: NDArray[np.float64], colour: Colour
) -> None:
    for (x, y), size in zip(view.pixels(points), sizes, strict=True):
        cv2.circle(body, (int(x), int(y)), view.length(size) * 8, colour, -1, cv2.LINE_AA, 3)


def _darker(lesion: Lesion) -> Colour:
    """A shade that stands out as dark on the lesion's base colour."""
    red, green, blue = COLOURS[lesion.colours[0]]
    return (round(red * 0.38), round(green * 0.36), round(blue * 0.36))


def _network(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    """A honeycomb of lines; warped where the lesion is asymmetric."""
    warp = {"symmetric": 0.06, "slightly asymmetric": 0.18, "asymmetric": 0.45}[lesion.asymmetry]
    u = view.u + warp * cloud(view, shape, lesion.size_mm / 2)
    v = view.v + warp * cloud(view, shape, lesion.size_mm / 2)
    step = 2 * np.pi / shape.uniform(1.1, 1.5)
    thirds = (0.0, 2 * math.pi / 3, 4 * math.pi / 3)
    waves = np.sum([np.cos(step * (u * math.cos(a) + v * math.sin(a))) for a in thirds], axis=0)
    blend(body, _darker(lesion), np.clip((0.1 - waves) * 1.2, 0, 1) * 0.8)


def _dots(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(16, 26)), lesion.size_mm * 0.45)
    _spots(body, view, points, shape.uniform(0.2, 0.3, len(points)), (40, 26, 22))


def _red_dots(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(20, 32)), lesion.size_mm * 0.42)
    _spots(body, view, points, shape.uniform(0.22, 0.34, len(points)), (160, 20, 30))


def _globules(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(9, 16)), lesion.size_mm * 0.42)
    _spots(body, view, points, shape.uniform(0.36, 0.55, len(points)), _darker(lesion))


def _cysts(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(8, 15)), lesion.size_mm * 0.42)
    _spots(body, view, points, shape.uniform(0.3, 0.55, len(points)), (246, 232, 196))


def _lacunae(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(7, 12)), lesion.size_mm * 0.4)
    sizes = lesion.size_mm * shape.uniform(0.07, 0.13, len(points))
    _spots(body, view, points, sizes * 1.25, (222, 96, 96))
    _spots(body, view, points, sizes, (116, 8, 24))


def _nests(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    points = _scatter(shape, int(shape.integers(4, 8)), lesion.size_mm * 0.36)
    for (x, y), size in zip(view.pixels(points), shape.uniform(0.6, 1.1, len(points)), strict=True):
        axes = (view.length(size) * 8, view.length(size * 0.65) * 8)
        cv2.ellipse(
            body,
            (int(x), int(y)),
            axes,
            float(shape.uniform(0, 180)),
            0,
            360,
            (70, 84, 120),
            -1,
            cv2.LINE_AA,
            3,
        )


def _scale(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    for x, y in _scatter(shape, int(shape.integers(14, 24)), lesion.size_mm * 0.44):
        corners = np.array([x, y]) + shape.normal(0, 0.45, (5, 2))
        cv2.fillConvexPoly(body, cv2.convexHull(view.pixels(corners)), (244, 236, 222), cv2.LINE_AA, 3)


def _furrows(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    """Wavy parallel lines, as a fingerprint has."""
    u = view.u + 0.7 * cloud(view, shape, lesion.size_mm / 2)
    lines = np.clip(np.cos(2 * math.pi / shape.uniform(1.5, 2.0) * u) * 2 - 1, 0, 1)
    blend(body, _darker(lesion), lines * 0.75)


def _vessels(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    for _ in range(int(shape.integers(3, 5))):
        start = _scatter(shape, 1, lesion.size_mm * 0.45)[0]
        _branch(
            body, view, shape, start, float(np.arctan2(-start[1], -start[0])), lesion.size_mm * 0.16, 0.42
        )


def _branch(
    body: Canvas,
    view: View,
    shape: np.random.Generator,
    start: NDArray[np.float64],
    angle: float,
    step: float,
    width: float,
) -> None:
    """A vessel of three steps, splitting into thinner ones at its end."""
    points = [start]
    for _ in range(3):
        angle += shape.normal(0, 0.35)
        points.append(points[-1] + step * np.array([np.cos(angle), np.sin(angle)]))
    thickness = view.length(width)
    cv2.polylines(body, [view.pixels(np.array(points))], False, (186, 18, 34), thickness, cv2.LINE_AA, 3)
    if width > 0.2:
        for side in (-0.6, 0.6):
            _branch(body, view, shape, points[-1], angle + side, step * 0.7, width * 0.6)


def _white_patch(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    wobble = 0.22 * cloud(view, shape, lesion.size_mm / 2)
    patch = disc(view, (0, 0), lesion.size_mm * shape.uniform(0.17, 0.23), wobble)
    blend(body, (242, 230, 224), patch)


def _keratin(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    wobble = 0.22 * cloud(view, shape, lesion.size_mm / 2)
    blend(body, (226, 196, 134), disc(view, (0, 0), lesion.size_mm * shape.uniform(0.2, 0.27), wobble))
    points = _scatter(shape, 6, lesion.size_mm * 0.18)
    _spots(body, view, points, shape.uniform(0.2, 0.4, 6), (120, 40, 30))


def _ulcer(body: Canvas, lesion: Lesion, view: View, shape: np.random.Generator) -> None:
    x, y = _scatter(shape, 1, lesion.size_mm * 0.2)[0]
    wobble = 0.22 * cloud(view, shape, lesion.size_mm / 2)
    patch = disc(view, (float(x), float(y)), lesion.size_mm * shape.uniform(0.12, 0.17), wobble)
    blend(body, (104, 22, 20), patch)


STRUCTURES: dict[str, Callable[[Canvas, Lesion, View, np.random.Generator], None]] = {
    "pigment network": _network,
    "furrows": _furrows,
    "white central patch": _white_patch,
    "central keratin": _keratin,
    "ulceration": _ulcer,
    "dots": _dots,
    "red dots": _red_dots,
    "globules": _globules,
    "milia-like cysts": _cysts,
    "red lacunae": _lacunae,
    "blue-gray ovoid nests": _nests,
    "white scale": _scale,
    "branching vessels": _vessels,
}  # fmt: skip


def draw_streaks(
    picture: Canvas,
    lesion: Lesion,
    view: View,
    shape: np.random.Generator,
    radius: Callable[[Canvas], Canvas],
) -> None:
    """Dark wedges across the border, `radius` millimetres from the centre at an angle."""
    for angle in np.sort(shape.uniform(0, 2 * np.pi, int(shape.integers(9, 15)))):
        edge = float(radius(np.array([angle], np.float32))[0])
        way, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        foot, tip = way * edge * 0.7, way * (edge + shape.uniform(0.5, 1.3))
        wedge = np.array(
            [foot - 0.28 * across, foot + 0.28 * across, tip + 0.12 * across, tip - 0.12 * across]
        )
        cv2.fillConvexPoly(picture, view.pixels(wedge), (48, 32, 27), cv2.LINE_AA, 3)
