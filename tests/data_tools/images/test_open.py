"""Files of many kinds become upright RGB pixels, or a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from data_tools.images import open as opening
from data_tools.images.open import UnusableImage, open_rgb

PLENTY = 10**6


def ramp(width: int = 60, height: int = 40) -> np.ndarray:
    """Grey from 0 on the left to 255 on the right."""
    return np.tile(np.linspace(0, 255, width).round().astype(np.uint8), (height, 1))


def test_the_limit_is_checked_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    assert open_rgb(tmp_path / "a.png", 2400).shape == (40, 60, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(UnusableImage, match=r"60 x 40 pixels are more than prepare.max_pixels=2399"):
        open_rgb(tmp_path / "a.png", 2399)


def test_a_decompression_bomb_is_refused_whatever_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (300, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnusableImage, match="more pixels than Pillow"):
        open_rgb(tmp_path / "bomb.png", PLENTY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_carried_out(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = ramp().astype(np.uint8)
    stored[:20] //= 2
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    seen = open_rgb(tmp_path / "a.png", PLENTY)[..., 0]
    turned = {  # what EXIF says that row 0 and column 0 are
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.T, 6: stored[::-1].T, 7: stored[::-1, ::-1].T, 8: stored[:, ::-1].T,
    }  # fmt: skip
    np.testing.assert_array_equal(seen, turned[orientation])


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(ramp().astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(open_rgb(tmp_path / "deep.png", PLENTY)[..., 1], ramp())


def test_transparent_pixels_are_white_whatever_lies_under_them(tmp_path: Path) -> None:
    layer = np.dstack([ramp()] * 3 + [np.full((40, 60), 255, np.uint8)])
    layer[:, :30, 3] = 0
    Image.fromarray(layer, "RGBA").save(tmp_path / "a.png")
    seen = open_rgb(tmp_path / "a.png", PLENTY)
    assert (seen[:, :30] == 255).all()
    np.testing.assert_array_equal(seen[:, 30:, 2], ramp()[:, 30:])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_stands_for_transparency_is_white(tmp_path: Path, mode: str) -> None:
    key = 0 if mode == "L" else (0, 0, 0)
    Image.fromarray(ramp()).convert(mode).save(tmp_path / "a.png", transparency=key)
    seen = open_rgb(tmp_path / "a.png", PLENTY)[..., 0]
    np.testing.assert_array_equal(seen, np.where(ramp() == 0, 255, ramp()))


@pytest.mark.parametrize(
    ("mode", "name"), [("P", "a.png"), ("LA", "a.png"), ("1", "a.png"), ("CMYK", "a.jpg")]
)
def test_other_modes_keep_their_brightness(tmp_path: Path, mode: str, name: str) -> None:
    ramp_image = Image.fromarray(ramp() // 255 * 255 if mode == "1" else ramp())
    ramp_image.convert("RGB").convert(mode).save(tmp_path / name)
    seen = open_rgb(tmp_path / name, PLENTY)
    assert seen.shape == (40, 60, 3) and seen.dtype == np.uint8
    assert seen[:, :3].mean() < 20 and seen[:, -1:].mean() > 235


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        assert len(list(ImageSequence.Iterator(image))) == 3
    assert open_rgb(path, PLENTY).mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=3)


def test_files_that_are_no_image_say_why(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("text")
    with pytest.raises(UnusableImage, match="not an image"):
        open_rgb(tmp_path / "text.jpg", PLENTY)
    with pytest.raises(UnusableImage, match="missing"):
        open_rgb(tmp_path / "none.jpg", PLENTY)
    Image.fromarray(ramp()).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-40])
    with pytest.raises(UnusableImage, match="cannot be decoded: "):
        open_rgb(tmp_path / "a.jpg", PLENTY)


def test_reasons_do_not_tell_where_the_file_lies(tmp_path: Path) -> None:
    with pytest.raises(UnusableImage) as raised, opening.reading(tmp_path / "a.jpg", PLENTY):
        pass
    assert str(tmp_path) not in str(raised.value)
