"""The steps of preparation, measured on drawings whose clean picture and lesion are known."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import Picture, Scene, scene, with_frame, with_hairs, with_ruler, with_stamp, with_vignette

from data_tools.images.border import largest_box, without_border
from data_tools.images.hair import without_hair
from data_tools.images.lesion import lesion_crop, lesion_mask
from data_tools.images.overlay import without_overlay
from data_tools.images.scale import shrunk

SCENES = 12
OPEN = (2, 3, 4, 5, 6, 7, 9, 12, 14, 16)  # scenes where the drawn light does not show the edge of a lens


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(seed) for seed in range(SCENES)]


def error(picture: Picture, clean: Picture, where: np.ndarray | None = None) -> float:
    """Mean absolute difference, of the pixels `where` if given."""
    away = np.abs(picture.astype(int) - clean).max(axis=2)
    return float(away.mean() if where is None else away[where].mean())


def planted_pixels(picture: Picture, clean: Picture) -> np.ndarray:
    return np.abs(picture.astype(int) - clean).max(axis=2) > 20


def test_hairs_are_removed_and_lesions_stay(scenes: list[Scene]) -> None:
    left, harm, untouched = [], [], 0
    for seed, clean in enumerate(scenes):
        haired = with_hairs(clean.picture, seed)
        left.append(error(without_hair(haired), clean.picture) / error(haired, clean.picture))
        result = without_hair(clean.picture)
        untouched += result is clean.picture
        harm.append((np.abs(result.astype(int) - clean.picture).max(axis=2)[clean.lesion] > 20).mean())
    print(f"hair: error left {np.mean(left):.2f} of that planted, lesion harmed {np.mean(harm):.4f}")
    assert np.mean(left) < 0.5
    assert np.mean(harm) < 0.01 and untouched >= SCENES - 2


def test_hairs_are_removed_from_large_pictures_as_well() -> None:
    clean = cv2.resize(scene(2).picture, (900, 900), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    haired = with_hairs(clean, 5, width=6)
    assert error(without_hair(haired), clean) < 0.35 * error(haired, clean)


def test_a_frame_is_cut_away_and_nothing_else(scenes: list[Scene]) -> None:
    for number in OPEN[:7]:
        clean = scenes[number].picture
        height, width = clean.shape[:2]
        cut = without_border(with_frame(clean, 20, 10, 5, 31))
        assert cut.shape[0] <= height and cut.shape[1] <= width
        assert cut.shape[0] * cut.shape[1] > 0.9 * height * width
        assert cut.max(axis=2).min() > 8
        assert without_border(clean) is clean


def test_a_round_vignette_is_cut_to_what_the_circle_holds(scenes: list[Scene]) -> None:
    for number in OPEN[:7]:
        clean = scenes[number].picture
        seen = with_vignette(clean, 0.95)
        cut = without_border(seen)
        share = cut.shape[0] * cut.shape[1] / clean.shape[0] / clean.shape[1]
        assert (
            0.38 < share <= 0.95**2 / 2 + 0.02
        )  # the square that the circle holds is half of its own square
        corners = np.stack([cut[y, x] for y in (0, -1) for x in (0, -1)]).max(axis=1)
        assert corners.min() > 0.4 * np.median(cut.max(axis=2))


def test_a_dark_lesion_at_the_edge_is_no_border() -> None:
    skin = np.full((150, 200, 3), (220, 180, 160), np.uint8)
    grown = cv2.circle(skin, (0, 30), 55, (30, 20, 20), -1).astype(np.uint8)
    assert without_border(grown) is grown


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_the_largest_box_is_that_of_its_definition(seed: int, height: int, width: int) -> None:
    free = np.random.default_rng(seed).random((height, width)) < 0.8
    left, top, right, bottom = largest_box(free)
    areas = [
        (y1 - y0) * (x1 - x0)
        for y0 in range(height) for y1 in range(y0 + 1, height + 1)
        for x0 in range(width) for x1 in range(x0 + 1, width + 1)
        if free[y0:y1, x0:x1].all()
    ]  # fmt: skip
    assert (bottom - top) * (right - left) == max(areas, default=0)
    assert free[top:bottom, left:right].all()


def test_the_lesion_is_found_and_held_by_the_square(scenes: list[Scene]) -> None:
    overlaps, held = [], []
    for clean in scenes:
        small = shrunk(clean.picture, 160)
        mask = lesion_mask(small)
        if mask is None:
            continue
        size = (small.shape[1], small.shape[0])
        true = cv2.resize(clean.lesion.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        overlaps.append(((mask > 0) & true).sum() / ((mask > 0) | true).sum())
        marked = np.dstack([clean.picture[..., :2], np.where(clean.lesion, 255, 0)]).astype(np.uint8)
        cut = lesion_crop(clean.picture, 0.25)
        place = _place(cut, clean.picture)
        held.append(place is None or (marked[place][..., 2] > 0).sum() / clean.lesion.sum())
    print(
        f"lesion: found in {len(overlaps)} of {SCENES}, IoU {np.mean(overlaps):.2f}, held {np.mean(held):.3f}"
    )
    assert len(overlaps) >= SCENES - 1
    assert np.median(overlaps) > 0.8 and np.mean(held) > 0.95


def _place(cut: Picture, whole: Picture) -> tuple[slice, slice] | None:
    """Where a crop lies in the picture; None for the picture itself."""
    if cut is whole:
        return None
    height, width = cut.shape[:2]
    assert height == width
    found = cv2.minMaxLoc(cv2.matchTemplate(whole, cut, cv2.TM_SQDIFF))[2]
    place = (slice(found[1], found[1] + height), slice(found[0], found[0] + width))
    np.testing.assert_array_equal(whole[place], cut)
    return place


def test_skin_without_a_lesion_is_left_alone() -> None:
    skin = np.full((150, 200, 3), (220, 180, 160), np.uint8)
    noisy = np.clip(skin + np.random.default_rng(0).normal(0, 6, skin.shape), 0, 255).astype(np.uint8)
    assert lesion_crop(skin, 0.25) is skin
    assert lesion_crop(noisy, 0.25) is noisy


def test_a_lesion_that_no_square_of_the_image_holds_is_left_alone() -> None:
    skin = np.full((100, 260, 3), (220, 180, 160), np.uint8)
    long = cv2.ellipse(skin, (130, 50), (80, 25), 0, 0, 360, (90, 50, 40), -1).astype(np.uint8)
    assert lesion_mask(shrunk(long, 160)) is not None
    assert lesion_crop(long, 0.25) is long


STAMPS = [(255, 255, 255), (10, 10, 10), (255, 255, 0), (0, 255, 0)]


@pytest.mark.parametrize("colour", STAMPS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_date_stamp_goes(scenes: list[Scene], colour: tuple[int, int, int], turned: bool) -> None:
    left = []
    for number in OPEN[:4]:
        clean = scenes[number].picture
        stamped = with_stamp(clean, "2021-03-14", (0.04, 0.95), colour, 0.6)
        if turned:
            clean, stamped = (np.ascontiguousarray(np.rot90(picture)) for picture in (clean, stamped))
        where = planted_pixels(stamped, clean)
        result = without_overlay(stamped)
        left.append(error(result, clean, where) / error(stamped, clean, where))
        lesion = np.rot90(scenes[number].lesion) if turned else scenes[number].lesion
        assert (np.abs(result.astype(int) - clean).max(axis=2)[lesion] > 25).mean() < 0.01
    print(f"stamp of {colour}: error left {np.mean(left):.2f}")
    assert np.mean(left) < 0.12 and max(left) < 0.2  # no letter of a date stays


def test_what_only_looks_like_a_row_is_no_writing() -> None:
    """Spots of like size on a line, each of another brightness."""
    skin = np.full((150, 200, 3), (200, 160, 140), np.uint8)
    shades = (10, 60, 30, 90, 20, 70, 40, 80)
    for number, shade in enumerate(shades):
        cv2.circle(skin, (20 + 21 * number, 140), 4, (shade, shade, shade), -1)
    assert without_overlay(skin) is skin
    for number in range(len(shades)):
        cv2.circle(skin, (20 + 21 * number, 140), 4, (40, 40, 40), -1)
    assert without_overlay(skin) is not skin


def test_a_ruler_goes(scenes: list[Scene]) -> None:
    for number in OPEN[:4]:
        clean = scenes[number].picture
        ruled = with_ruler(clean)
        where = planted_pixels(ruled, clean)
        assert error(without_overlay(ruled), clean, where) < 0.15 * error(ruled, clean, where)


def test_clean_pictures_have_no_overlay(scenes: list[Scene]) -> None:
    assert all(without_overlay(clean.picture) is clean.picture for clean in scenes)


@pytest.mark.parametrize(
    "step", [without_hair, without_border, without_overlay, lambda image: lesion_crop(image, 0.25)]
)
def test_steps_are_pure(scenes: list[Scene], step: Callable[[Picture], Picture]) -> None:
    picture = with_vignette(
        with_stamp(with_hairs(scenes[3].picture, 3), "ABCDEF", (0.3, 0.95), (9, 9, 9)), 1.2
    )
    before = picture.copy()
    np.testing.assert_array_equal(step(picture), step(picture.copy()))
    np.testing.assert_array_equal(picture, before)
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert step(grey) is grey
