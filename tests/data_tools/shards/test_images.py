"""Image files on their way into a shard."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_tools.config import PackConfig
from data_tools.shards.images import UnusableImage, jpeg_bytes

KEEP = PackConfig(short_side=0)
SHRINK = PackConfig(short_side=32)


def halves(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Bright upper half, dark lower half."""
    pixels = np.full((height, width, 3), 230, dtype=np.uint8)
    pixels[height // 2 :] = 20
    return Image.fromarray(pixels).convert(mode)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_jpeg_is_kept_as_it_is(tmp_path, mode):
    halves(60, 40, mode).save(tmp_path / "a.jpg", quality=40)
    assert jpeg_bytes(tmp_path / "a.jpg", KEEP) == (tmp_path / "a.jpg").read_bytes()
    assert jpeg_bytes(tmp_path / "a.jpg", PackConfig(short_side=40)) == (tmp_path / "a.jpg").read_bytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_shrinking_keeps_the_aspect(tmp_path, name):
    halves(300, 200).save(tmp_path / name)
    image = opened(jpeg_bytes(tmp_path / name, SHRINK))
    assert (image.format, image.size) == ("JPEG", (48, 32))
    assert np.asarray(image)[4].mean() > 200 > 60 > np.asarray(image)[-4].mean()


@pytest.mark.parametrize("pack", [KEEP, SHRINK])
def test_rotation_by_exif_is_carried_out(tmp_path, pack):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the top of the file is the right side
    halves(300, 200).save(tmp_path / "a.jpg", exif=exif)
    image = opened(jpeg_bytes(tmp_path / "a.jpg", pack))
    assert image.size == ((200, 300) if pack is KEEP else (32, 48))
    assert not image.getexif()
    columns = np.asarray(image).mean(axis=(0, 2))
    assert columns[-3] > 200 > 60 > columns[2]


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.jpg"), ("RGBA", "a.png"), ("P", "a.png"), ("LA", "a.png")]
)
def test_other_colour_modes_become_rgb(tmp_path, mode, name):
    halves(60, 40, mode).save(tmp_path / name)
    assert opened(jpeg_bytes(tmp_path / name, KEEP)).mode == "RGB"


def test_unusable_files_say_why(tmp_path):
    with pytest.raises(UnusableImage, match="missing"):
        jpeg_bytes(tmp_path / "none.jpg", KEEP)
    (tmp_path / "text.jpg").write_bytes(b"text")
    with pytest.raises(UnusableImage, match="not an image"):
        jpeg_bytes(tmp_path / "text.jpg", KEEP)
    halves(300, 200).save(tmp_path / "cut.jpg", quality=100)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-300])
    for pack in (KEEP, SHRINK):
        with pytest.raises(UnusableImage, match="truncated"):
            jpeg_bytes(tmp_path / "cut.jpg", pack)
    Image.fromarray(np.zeros((40, 60), dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UnusableImage, match="mode I"):
        jpeg_bytes(tmp_path / "deep.png", KEEP)
