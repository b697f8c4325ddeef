"""Decoding, cropping, augmenting, and reading whole images in order."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmfm.config.schema import AugmentConfig
from mmfm.data.augment import augment_batch, augment_image, draw_augmentation, no_augmentation, passes
from mmfm.data.buffers import BufferPool
from mmfm.data.decode import DecodeError, decode_into
from mmfm.data.index import Split
from mmfm.data.reader import read_batches


def smooth(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    waves = [120 + 100 * np.sin(x / width * 5 + k) * np.cos(y / height * 4 - k) for k in range(3)]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    return buffer.getvalue()


def decoded(data: bytes, size: int) -> np.ndarray:
    """The whole image, uint8 (size, size, 3)."""
    out = np.empty((size, size, 3), np.uint8)
    decode_into(data, out)
    return out


@pytest.mark.parametrize("shape", [(300, 400), (64, 64), (90, 50), (700, 120), (33, 47)])
@pytest.mark.parametrize("size", [32, 64])
def test_any_shape_comes_out_as_the_resized_whole(shape: tuple[int, int], size: int) -> None:
    image = smooth(*shape)
    wanted = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), float)
    assert np.abs(decoded(encoded(image), size) - wanted).mean() < 2.5


@pytest.mark.parametrize("shape", [(300, 400), (64, 64)])
def test_a_crop_is_that_part_of_the_image(shape: tuple[int, int]) -> None:
    image = smooth(*shape)
    height, width = shape
    out = np.empty((32, 32, 3), np.uint8)
    decode_into(encoded(image), out, 0.5, 1.0, 0.0)  # the right end, the top
    part = image.crop((width // 2, 0, width, height // 2)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(out - np.asarray(part, float)).mean() < 2.5


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpegs_become_rgb(mode: str) -> None:
    image = smooth(60, 60)
    wanted = np.asarray(image.convert(mode).convert("RGB"), float)
    got = decoded(encoded(image.convert(mode)), 60)
    assert np.abs(got - wanted).mean() < 4


def test_other_formats_are_decoded_too() -> None:
    image = smooth(40, 40)
    assert (decoded(encoded(image, "PNG"), 40) == np.asarray(image)).all()


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 broken"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decoded(data, 16)


def test_augmentation_is_a_function_of_seed_and_position() -> None:
    config = AugmentConfig()
    many, one = (draw_augmentation(config, 3, np.arange(a, b)) for a, b in ((0, 4000), (77, 78)))
    assert (many.crops[77] == one.crops[0]).all() and many.changes.turns[77] == one.changes.turns[0]
    assert (many.changes.colour[77] == one.changes.colour[0]).all()
    area = many.crops[:, 0] ** 2
    assert area.min() >= 0.6 and area.max() <= 1 and area.mean() == pytest.approx(0.8, abs=0.01)
    assert np.bincount(many.changes.turns, minlength=8) == pytest.approx([500] * 8, abs=90)
    none = draw_augmentation(no_augmentation(), 3, np.arange(50))
    assert (none.crops[:, 0] == 1).all() and not none.changes.turns.any() and none.changes.colour is None


def test_quarter_turns_without_flips_are_the_four_rotations() -> None:
    drawn = draw_augmentation(AugmentConfig(flip=False), 0, np.arange(200)).changes.turns
    image = np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8)
    turned = {
        augment_image(image.copy(), np.empty_like(image), int(turn), None).tobytes() for turn in set(drawn)
    }
    assert turned == {np.ascontiguousarray(np.rot90(image, k)).tobytes() for k in range(4)}


def test_each_colour_option_does_what_its_name_says() -> None:
    pixels = np.random.default_rng(0).integers(60, 190, (400, 3)).astype(float)
    luma = np.array([0.299, 0.587, 0.114])

    def applied(**options: float) -> tuple[np.ndarray, np.ndarray]:
        off = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
        colour = draw_augmentation(AugmentConfig(**(off | options)), 1, np.arange(4)).changes.colour[2]
        return pixels @ colour[:, :3].T + colour[:, 3], colour

    brighter, matrix = applied(brightness=0.5)
    assert brighter == pytest.approx(pixels * matrix[0, 0], rel=1e-5) and 0.5 <= matrix[0, 0] <= 1.5
    contrasted, _ = applied(contrast=0.5)
    ratio = (contrasted - 127.5) / (pixels - 127.5)
    assert ratio == pytest.approx(np.full_like(ratio, ratio[0, 0]), rel=1e-3)
    saturated, _ = applied(saturation=0.5)
    assert saturated @ luma == pytest.approx(pixels @ luma, rel=1e-4)  # greys stay, brightness stays
    turned, _ = applied(hue=0.1)
    assert turned.sum(axis=1) == pytest.approx(pixels.sum(axis=1), rel=1e-4)
    assert np.linalg.norm(turned, axis=1) == pytest.approx(np.linalg.norm(pixels, axis=1), rel=1e-4)
    assert np.abs(turned - pixels).max() > 1


def test_the_batched_path_equals_the_single_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 3), np.uint8)
    changes = draw_augmentation(AugmentConfig(), 9, np.arange(64)).changes
    batched = augment_batch(torch.from_numpy(images).permute(0, 3, 1, 2), changes).permute(0, 2, 3, 1).numpy()
    for row, image in enumerate(images):
        turn, colour = changes.of(row)
        start, spare = image.copy(), np.empty_like(image)
        single = augment_image(start, spare, turn, colour)
        assert (single is spare) == bool(passes(turn, colour) % 2)
        assert np.abs(single.astype(int) - batched[row]).max() <= 1


def test_a_buffer_is_used_again_only_when_nobody_holds_it() -> None:
    pool = BufferPool((4, 2, 2, 3), pinned=False)
    first = pool.take()
    view, place = first[1:3].permute(0, 3, 1, 2), first.data_ptr()
    del first
    second = pool.take()
    assert second.data_ptr() != place  # a view is still there
    del view
    assert pool.take().data_ptr() == place


@pytest.mark.parametrize("workers", [0, 3])
def test_reading_keeps_the_given_order(tiny: Path, workers: int) -> None:
    split = Split.open(tiny, "train")
    wanted = np.random.default_rng(1).permutation(len(split))[:30]
    read = list(read_batches(split, wanted, 16, batch=8, workers=workers))
    assert [len(ids) for _, _, ids in read] == [8, 8, 8, 6]
    assert np.concatenate([ids for _, _, ids in read]).tolist() == wanted.tolist()
    for images, records, ids in read:
        assert images.shape == (len(ids), 3, 16, 16) and images.dtype == torch.uint8
        for image, record, sample in zip(images, records, ids, strict=True):
            assert record.key == split.keys[sample]
            assert (image.permute(1, 2, 0).numpy() == decoded(split.read_image(sample), 16)).all()


def test_reading_leaves_out_and_counts_what_is_damaged(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    split = Split.open(write_shards(tmp_path / "s", (10,)), "train")
    for column in ("image_crc", "json_crc", "image_offset", "image_size"):
        setattr(split, column, getattr(split, column).copy())  # columns of one shard are read-only
    split.image_crc[4] += 1
    split.json_crc[5] += 1
    split.image_offset[7], split.image_size[7] = split.json_offset[7], split.json_size[7]
    split.image_crc[7] = split.json_crc[7]  # sound bytes, but no image
    corrupt: Counter[str] = Counter()
    read = read_batches(split, np.arange(10), 16, batch=2, workers=1, corrupt=corrupt)
    ids = list(itertools.chain.from_iterable(ids.tolist() for _, _, ids in read))
    assert ids == [0, 1, 2, 3, 6, 8, 9]
    assert corrupt == {"altered": 2, "undecodable": 1}
