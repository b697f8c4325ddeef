"""A contact sheet: images before preparation and after each of its steps."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from data_tools.config import PrepareConfig
from data_tools.images.open import Pixels, UnusableImage, open_rgb
from data_tools.images.prepare import STEPS, run_step, steps_of
from mmfm.progress import say, track

TILE = 160  # pixels: an image's longer side on the sheet
GAP, HEAD = 6, 22  # pixels between tiles, and above the first row
PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (165, 165, 165)


@dataclass
class Strip:
    """One image: its name, and pictures of it at first and after each step; None where one did nothing."""

    name: str
    before: Image.Image
    after: list[Image.Image | None]


@dataclass
class Sheet:
    """Strips below the names of their steps, and how many of the images looked at each step changed."""

    steps: list[str]
    strips: list[Strip] = field(default_factory=list)
    seen: int = 0
    changed: Counter[str] = field(default_factory=Counter)

    def draw(self) -> Image.Image:
        """The sheet as a picture: a row for each image, a column for each step."""
        width = GAP + (len(self.steps) + 1) * (TILE + GAP)
        picture = Image.new("RGB", (width, HEAD + len(self.strips) * (TILE + HEAD + GAP) + GAP), PAPER)
        pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
        for column, title in enumerate(["before", *self.steps]):
            pen.text((GAP + column * (TILE + GAP), 3), title, INK, font)
        for number, strip in enumerate(self.strips):
            top = HEAD + number * (TILE + HEAD + GAP)
            for column, tile in enumerate([strip.before, *strip.after]):
                left = GAP + column * (TILE + GAP)
                if tile is None:
                    pen.text((left + 4, top + 4), "as it was", FAINT, font)
                    continue
                picture.paste(tile, (left, top))
            pen.text((GAP, top + TILE + 2), strip.name, FAINT, font)
        return picture


def make_sheet(images: Sequence[tuple[str, Path]], cfg: PrepareConfig, count: int, changed: bool) -> Sheet:
    """The sheet of `count` images, chosen by a hash of their names; with `changed`, only such as change.

    The steps are those that `cfg` switches on; where it has none, all are shown. Images that cannot be used
    are told and passed over.
    """
    if not steps_of(cfg):
        cfg = replace(cfg, **dict.fromkeys(STEPS, True))
    sheet = Sheet(steps_of(cfg))
    order = sorted(images, key=lambda item: hashlib.sha256(item[0].encode()).digest())
    for strip in _strips(order if changed else order[:count], cfg):
        sheet.seen += 1
        sheet.changed.update(
            step for step, tile in zip(sheet.steps, strip.after, strict=True) if tile is not None
        )
        if not changed or any(tile is not None for tile in strip.after):
            sheet.strips.append(strip)
        if len(sheet.strips) == count:
            break
    return sheet


def _strips(images: Sequence[tuple[str, Path]], cfg: PrepareConfig) -> Iterable[Strip]:
    for name, path in track(images, "preparing"):
        try:
            pixels = open_rgb(path, cfg.max_pixels)
        except UnusableImage as error:
            say(f"{name}: {error}")
            continue
        strip = Strip(name, _tile(pixels), [])
        for step in steps_of(cfg):
            result = run_step(step, pixels, cfg)
            strip.after.append(None if result is pixels else _tile(result))
            pixels = result
        yield strip


def _tile(pixels: Pixels) -> Image.Image:
    """A copy at the size of the sheet, so that photographs are not kept."""
    return ImageOps.contain(Image.fromarray(pixels), (TILE, TILE))
