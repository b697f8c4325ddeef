"""Draw a lesion: skin, outline, colours, structures, then camera and light.

Geometry is in millimetres around the centre of the lesion; a `View` maps it to pixels. Pictures are drawn
larger than asked for and shrunk, which smooths all lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.demo.canvas import Canvas, View, blend, cloud, disc, step
from data_tools.demo.lesion import Lesion
from data_tools.demo.structures import COLOURS, STRUCTURES, draw_streaks

DERMOSCOPIC = "drawn-dermoscopic"
CLINICAL = "drawn-clinical"
OVERSAMPLING = 1.5

SKIN = {
    1: (244, 214, 198),
    2: (233, 195, 170),
    3: (218, 172, 138),
    4: (186, 135, 98),
    5: (143, 96, 66),
    6: (98, 66, 50),
}


def draw_image(lesion: Lesion, domain: str, view_seed: int, side: int = 96) -> NDArray[np.uint8]:
    """Photograph `lesion`: (side, side, 3) uint8 RGB. A pure function of its arguments."""
    rng = np.random.default_rng([lesion.seed, 1 + view_seed])
    view = _view(rng, domain, round(side * OVERSAMPLING))
    shape = np.random.default_rng([lesion.seed, 0])  # details of the lesion are the same in all its views
    picture = _skin(view, lesion.skin_tone)
    radius = _outline(lesion, shape)
    inside = (radius(np.arctan2(view.v, view.u)) - np.hypot(view.u, view.v)) / (lesion.size_mm / 2)
    softness = {"sharp": 0.04, "irregular": 0.06, "blurred": 0.22}[lesion.border]
    body = _body(lesion, view, shape, picture)
    for structure in lesion.structures:
        if structure in STRUCTURES:
            STRUCTURES[structure](body, lesion, view, shape)
    blend(picture, body, step(inside / softness))
    if "streaks" in lesion.structures:  # they cross the border, so they come after it
        draw_streaks(picture, lesion, view, shape, radius)
    picture = _camera(picture, view, domain)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, rng.uniform(1.5, 4), small.shape)
    return np.clip(small + noise, 0, 255).astype(np.uint8)


def _view(rng: np.random.Generator, domain: str, side: int) -> View:
    field = 19.0 if domain == DERMOSCOPIC else 26.0  # millimetres across the picture
    scale = side / field * rng.uniform(0.94, 1.06)
    turn, mirror = rng.uniform(0, 2 * np.pi), float(rng.choice([-1, 1]))
    x0, y0 = (side * (0.5 + rng.uniform(-0.06, 0.06)) for _ in range(2))
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = (columns - x0) / scale, (rows - y0) / scale
    c, s = math.cos(turn), math.sin(turn)
    return View(side, scale, turn, mirror, (x0, y0), (c * x + s * y) * mirror, c * y - s * x, rng)


def _outline(lesion: Lesion, shape: np.random.Generator) -> Callable[[Canvas], Canvas]:
    """Radius in millimetres as a function of the angle."""
    lean, stretch = {
        "symmetric": (0.0, 0.05),
        "slightly asymmetric": (0.08, 0.10),
        "asymmetric": (0.22, 0.16),
    }[lesion.asymmetry]
    ragged = {"sharp": 0.012, "irregular": 0.06, "blurred": 0.015}[lesion.border]
    waves = [(1, lean), (2, stretch), (3, lean)] + [(k, ragged) for k in (5, 6, 8, 11)]
    terms = [(k, size * shape.uniform(0.6, 1.2), shape.uniform(0, 2 * np.pi)) for k, size in waves]

    def radius(angle: Canvas) -> Canvas:
        wobble = sum(size * np.cos(k * angle + phase) for k, size, phase in terms)
        return np.asarray(lesion.size_mm / 2 * (1 + wobble), dtype=np.float32)

    return radius


def _skin(view: View, tone: int) -> Canvas:
    """Skin of a Fitzpatrick type: blotches, fine texture."""
    rng, side = view.rng, view.side
    tint = np.array(SKIN[tone]) + rng.normal(0, 4) + rng.normal(0, 2, 3)
    blotches = rng.normal(0, 4, (6, 6, 1)).astype(np.float32) * np.array((1.0, 1.3, 1.2), np.float32)
    picture = cv2.resize(blotches + tint.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    texture = cv2.resize(rng.normal(0, 4, (48, 48)).astype(np.float32), (side, side))
    return np.asarray(picture + texture[..., None], dtype=np.float32)


def _body(lesion: Lesion, view: View, shape: np.random.Generator, skin: Canvas) -> Canvas:
    """The colours of the lesion: the base, and a region for each of the others.

    The regions of a symmetric lesion are concentric, those of an asymmetric one lie to a side.
    """
    radius = lesion.size_mm / 2
    clouds = cloud(view, shape, radius)
    base = np.array(COLOURS[lesion.colours[0]], np.float32)
    body = 0.06 * skin + 0.94 * (base + 14 * clouds[..., None])
    for rank, colour in enumerate(lesion.colours[1:]):
        angle = shape.uniform(0, 2 * np.pi)
        off = {"symmetric": 0.0, "slightly asymmetric": 0.25, "asymmetric": 0.5}[lesion.asymmetry] * radius
        centre = (off * math.cos(angle), off * math.sin(angle))
        blend(body, COLOURS[colour], disc(view, centre, radius * (0.62 - 0.12 * rank), 0.25 * clouds))
    return body


def _camera(picture: Canvas, view: View, domain: str) -> Canvas:
    """Hairs, light, vignette and white balance; a clinical photo has side light, glare and less focus."""
    rng, side = view.rng, view.side
    _hairs(picture, rng, side)
    blur = OVERSAMPLING * (rng.uniform(0.5, 0.9) if domain == CLINICAL else rng.uniform(0.3, 0.6))
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), dtype=np.float32)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    balance = np.ones(3)
    if domain == CLINICAL:
        angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.12, 0.3)
        light = 0.86 + strength * (math.cos(angle) * columns + math.sin(angle) * rows)
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)
        picture += 45 * np.exp(-6 * ((columns - x) ** 2 + (rows - y) ** 2))[..., None]  # glare
        balance = np.array((1.04, 0.99, 0.9))
    else:
        away = np.hypot(columns, rows)
        light = 1.03 - rng.uniform(0.05, 0.22) * away**2
        if rng.random() < 0.35:  # the round edge of the lens
            light *= step((rng.uniform(1.05, 1.25) - away) * 40)
    balance = balance * (1 + rng.normal(0, 0.02, 3))
    return np.asarray(picture * light[..., None] * balance.astype(np.float32), dtype=np.float32)


def _hairs(picture: Canvas, rng: np.random.Generator, side: int) -> None:
    if rng.random() < 0.5:
        return
    shade = tuple(float(c) for c in np.array([60, 44, 34]) * rng.uniform(0.5, 1.6))
    t = np.linspace(0, 1, 12)[:, None]
    for _ in range(int(rng.integers(1, 7))):
        ends = rng.uniform(-0.1, 1.1, (3, 2)) * side
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        cv2.polylines(picture, [np.round(curve * 8).astype(np.int32)], False, shade, 1, cv2.LINE_AA, 3)
