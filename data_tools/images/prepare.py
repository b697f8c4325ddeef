"""What is done to an image before it is packed or shown to a language model."""

from __future__ import annotations

from collections.abc import Callable

import cv2

from data_tools.config import PrepareConfig
from data_tools.images.border import without_border
from data_tools.images.hair import without_hair
from data_tools.images.lesion import lesion_crop
from data_tools.images.open import Pixels
from data_tools.images.overlay import without_overlay

cv2.setNumThreads(0)  # parallelism is over images; OpenCV's own threads would only fight for the cores

Step = Callable[[Pixels, PrepareConfig], Pixels]

STEPS: dict[str, Step] = {  # in their order; each has a switch of its name in `PrepareConfig`
    "burnt_in_text": lambda image, cfg: without_overlay(image),
    "hair": lambda image, cfg: without_hair(image),
    "border": lambda image, cfg: without_border(image),
    "lesion": lambda image, cfg: lesion_crop(image, cfg.margin),
}
VERSION = 1  # of what the steps do: raise it when one changes, as notes belong to what was shown (`keys`)
LEAST_SIDE = 32  # pixels; on smaller images nothing can be told apart


def prepare(image: Pixels, cfg: PrepareConfig) -> Pixels:
    """The image after the steps that `cfg` switches on; the very same array where none found anything.

    A pure function of its arguments: (h, w, 3) uint8 RGB to (h', w', 3), smaller where something was cut.
    """
    for name in steps_of(cfg):
        image = run_step(name, image, cfg)
    return image


def run_step(name: str, image: Pixels, cfg: PrepareConfig) -> Pixels:
    """The image after one of `STEPS`; the same array where it found nothing to do."""
    if min(image.shape[:2]) < LEAST_SIDE:
        return image
    return STEPS[name](image, cfg)


def steps_of(cfg: PrepareConfig) -> list[str]:
    """The steps that are switched on, in their order."""
    return [name for name in STEPS if getattr(cfg, name)]
