"""The steps together: switches, order, and images that are too small or plain."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from planted import scene, with_frame, with_hairs

from data_tools.config import PrepareConfig
from data_tools.images.open import open_rgb
from data_tools.images.prepare import STEPS, prepare, steps_of

ALL = PrepareConfig(burnt_in_text=True, hair=True, border=True, lesion=True)


def test_every_step_has_its_switch_in_the_order_of_the_recipe() -> None:
    assert steps_of(PrepareConfig()) == []
    assert (
        steps_of(ALL) == list(STEPS) == [field.name for field in fields(PrepareConfig) if field.name in STEPS]
    )


def test_without_a_step_the_image_comes_back() -> None:
    picture = with_hairs(scene(2).picture, 1)
    assert prepare(picture, PrepareConfig()) is picture


def test_steps_build_on_each_other() -> None:
    picture = with_frame(with_hairs(scene(2).picture, 1), 20, 20, 20, 20)
    result = prepare(picture, ALL)
    assert result.shape[0] == result.shape[1] < 224 and result.max(axis=2).min() > 20


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 500, 3), (31, 31, 3), (32, 32, 3), (33, 700, 3)])
def test_odd_sizes_are_borne(shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for picture in (noise, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        result = prepare(picture, ALL)
        assert result.ndim == 3 and result.dtype == np.uint8 and min(result.shape) > 0


@pytest.mark.realdata
def test_real_images_are_changed_where_there_is_something(real_data: Path) -> None:
    """Lesions of the trained-on sets: hairs in some, a border in some, hardly any text; a lesion in most."""
    with (real_data / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["domain"] == "dermoscopic"]
    images = [open_rgb(real_data / row["file"], 10**8) for row in rows[:: len(rows) // 40][:40]]
    changed = dict.fromkeys(STEPS, 0)
    for image in images:
        for name in STEPS:
            result = prepare(image, PrepareConfig(**{name: True}))
            changed[name] += result is not image
    shares = {name: count / len(images) for name, count in changed.items()}
    print({name: round(share, 3) for name, share in shares.items()})
    assert 0.05 < shares["hair"] < 0.35 and 0.03 < shares["border"] < 0.25
    assert shares["burnt_in_text"] < 0.1 and shares["lesion"] > 0.5
