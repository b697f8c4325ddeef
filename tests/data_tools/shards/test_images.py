"""Image files on their way into a shard."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data_tools.config import PackConfig, PrepareConfig
from data_tools.shards.images import UnusableImage
from data_tools.shards.images import jpeg_bytes as packed_bytes

KEEP = PackConfig(short_side=0)
SHRINK = PackConfig(short_side=32)
SECRET = b"Jane Roe, 1961-04-02"


def jpeg_bytes(path, pack, **preparation):
    return packed_bytes(path, pack, PrepareConfig(**preparation))


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
    Image.fromarray(np.zeros((40, 60), dtype=np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(UnusableImage, match="mode F"):
        jpeg_bytes(tmp_path / "deep.tif", KEEP)
    with pytest.raises(UnusableImage, match=r"60 x 40 pixels are more than prepare.max_pixels=2399"):
        halves(60, 40).save(tmp_path / "large.jpg")
        jpeg_bytes(tmp_path / "large.jpg", SHRINK, max_pixels=2399)


def told_twice(path, image, **how):
    """Save an image with all that a file can tell besides its picture."""
    exif = Image.Exif()
    exif[0x010E], exif[0x8298] = SECRET.decode(), SECRET.decode()  # description, copyright
    image.save(path, exif=exif, xmp=SECRET, comment=SECRET, icc_profile=SECRET, **how)
    with path.open("ab") as file:
        file.write(SECRET)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tif"])
@pytest.mark.parametrize("options", [{}, {"hair": True, "border": True}])
def test_a_shard_gets_the_picture_alone(tmp_path, name, options):
    told_twice(tmp_path / name, halves(60, 40))
    assert SECRET in (tmp_path / name).read_bytes()
    for pack in (KEEP, SHRINK):
        data = jpeg_bytes(tmp_path / name, pack, **options)
        assert SECRET not in data and b"Exif" not in data
        assert not {"comment", "exif", "xmp", "icc_profile"} & opened(data).info.keys()


@pytest.mark.parametrize("how", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
def test_metadata_goes_and_the_compressed_picture_stays(tmp_path, how):
    noise = np.random.default_rng(3).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    told_twice(tmp_path / "a.jpg", Image.fromarray(noise), quality=60, **how)
    Image.fromarray(noise).save(tmp_path / "plain.jpg", quality=60, **how)
    assert jpeg_bytes(tmp_path / "a.jpg", KEEP) == (tmp_path / "plain.jpg").read_bytes()


def test_a_jpeg_where_preparation_finds_nothing_is_kept(tmp_path):
    Image.new("RGB", (60, 40), (220, 180, 160)).save(tmp_path / "a.jpg", quality=40)
    steps = {"hair": True, "border": True, "lesion": True, "burnt_in_text": True}
    assert jpeg_bytes(tmp_path / "a.jpg", KEEP, **steps) == (tmp_path / "a.jpg").read_bytes()
    halves(60, 40).save(tmp_path / "framed.jpg", quality=40)  # the lower half is dark
    assert opened(jpeg_bytes(tmp_path / "framed.jpg", KEEP, border=True)).size[1] < 30
