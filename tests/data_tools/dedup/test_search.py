"""Near-duplicates: copies are found, other pictures are not, and the search equals the plain definition."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_tools.config import DedupConfig
from data_tools.dedup import difference_hash, find_duplicates, near_pairs
from mmfm.errors import ConfigError


def scene(seed: int, size: int = 160) -> Image.Image:
    """A smooth random picture: no two seeds look alike."""
    grid = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)


def test_copies_in_other_sizes_and_formats_are_found(tmp_path: Path) -> None:
    names = ["original.png", "other.png", "smaller.jpg", "recompressed.webp", "another.png"]
    paths = [tmp_path / name for name in names]
    scene(1).save(paths[0])
    scene(2).save(paths[1])
    scene(1).resize((90, 90)).save(paths[2], quality=70)
    scene(1).resize((130, 130)).save(paths[3], quality=60)
    scene(3).save(paths[4])
    pairs = find_duplicates(paths, ["set"] * len(paths), DedupConfig())
    assert [(i, j) for i, j, _ in pairs] == [(0, 2), (0, 3), (2, 3)]
    assert all(0 <= distance <= 10 for _, _, distance in pairs)


def test_pairs_across_sets_have_a_bound_of_their_own(tmp_path: Path) -> None:
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    scene(1).save(paths[0])
    scene(1).rotate(2).save(paths[1])
    [(_, _, distance)] = find_duplicates(paths, ["a", "b"], DedupConfig(max_distance_across=256))
    assert distance > 0
    config = DedupConfig(max_distance=distance - 1, max_distance_across=distance)
    assert find_duplicates(paths, ["a", "b"], config) == [(0, 1, distance)]
    assert find_duplicates(paths, ["a", "a"], config) == []


def test_unreadable_and_flat_images_have_no_duplicates(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(5)]
    paths[0].write_bytes(b"no picture")
    paths[1].write_bytes(b"")
    for path in paths[2:4]:
        Image.new("RGB", (64, 64), "gray").save(path)
    buffer = io.BytesIO()
    scene(1).save(buffer, "jpeg")
    paths[4].write_bytes(buffer.getvalue()[:300])  # truncated
    assert find_duplicates([*paths, tmp_path / "absent.jpg"], ["set"] * (len(paths) + 1), DedupConfig()) == []


@given(st.integers(0, 2**32 - 1), st.integers(0, 140))
def test_search_equals_its_definition(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, (14, 4), dtype=np.uint64)
    hashes[5] = hashes[9]
    hashes[7] = hashes[11] ^ np.uint64(0b1011)
    found = near_pairs(hashes[:, None], limit)
    expected = [
        (i, j, distance)
        for i in range(14)
        for j in range(i + 1, 14)
        if (distance := sum(int(a ^ b).bit_count() for a, b in zip(hashes[i], hashes[j], strict=True)))
        <= limit
    ]
    assert [tuple(pair) for pair in found.tolist()] == expected


def test_search_crosses_blocks() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, (4700, 1, 4), dtype=np.uint64)
    hashes[[3, 299, 4650]] = hashes[3]
    assert near_pairs(hashes, 10).tolist() == [[3, 299, 0], [3, 4650, 0], [299, 4650, 0]]


@given(st.integers(0, 2**32 - 1), st.integers(60, 130))
def test_of_a_pairs_orientations_the_nearest_counts(seed: int, limit: int) -> None:
    hashes = np.random.default_rng(seed).integers(0, 2**63, (12, 8, 4), dtype=np.uint64)
    expected = {
        (i, j): nearest
        for i in range(12)
        for j in range(i + 1, 12)
        if (nearest := int(np.bitwise_count(hashes[i] ^ hashes[j, 0]).sum(axis=1).min())) <= limit
    }
    assert {(i, j): distance for i, j, distance in near_pairs(hashes, limit).tolist()} == expected


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_mirrored_and_turned_copies_are_found_if_asked_for(tmp_path: Path, turn: Image.Transpose) -> None:
    paths = [tmp_path / name for name in ("other.png", "original.png", "turned.jpg")]
    scene(2).save(paths[0])
    scene(1).save(paths[1])
    scene(1).transpose(turn).resize((100, 100)).save(paths[2], quality=80)
    for order in (paths, paths[::-1]):
        names = {order.index(paths[1]), order.index(paths[2])}
        [(i, j, _)] = find_duplicates(order, ["set"] * 3, DedupConfig(turned=True))
        assert {i, j} == names
        assert find_duplicates(order, ["set"] * 3, DedupConfig()) == []


def test_a_copy_that_exif_turns_is_a_copy(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(1).save(tmp_path / "a.jpg")
    scene(1).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", exif=exif)
    assert len(find_duplicates([tmp_path / "a.jpg", tmp_path / "b.jpg"], ["x", "x"], DedupConfig())) == 1


def test_images_over_the_limit_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(1).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was decoded"))
    assert (
        find_duplicates([tmp_path / "a.png"] * 2, ["x", "x"], DedupConfig(), max_pixels=160 * 160 - 1) == []
    )


@pytest.mark.parametrize(("side", "words"), [(8, 1), (16, 4), (12, 3)])
def test_hash_fills_whole_words(tmp_path: Path, side: int, words: int) -> None:
    scene(1).save(tmp_path / "a.png")
    bits = difference_hash(tmp_path / "a.png", side)
    assert bits is not None and bits.shape == (1, words) and bits.dtype == np.uint64


def test_impossible_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hash_side=1"):
        find_duplicates([], [], DedupConfig(hash_side=1))


@pytest.mark.realdata
def test_known_pairs_of_the_real_data_are_found(real_data: Path) -> None:
    """All that the list names across two sets, and the clear ones within one, by the bounds of the recipe."""
    with (real_data / "manifest.csv").open(newline="") as file:
        places = {row["image_id"]: real_data / row["file"] for row in csv.DictReader(file)}
    with (real_data / "near_duplicates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clear = [row for row in rows if row["set_a"] != row["set_b"] or int(row["dhash256_dist"]) <= 9]
    listed = [{Path(row["file_a"]).stem, Path(row["file_b"]).stem} for row in clear]
    listed = [pair for pair in listed if pair <= set(places)]
    names = sorted(set().union(*listed))
    sets = [places[name].parts[-3] for name in names]
    recipe = DedupConfig(max_distance=16, max_distance_across=27)
    pairs = find_duplicates([places[name] for name in names], sets, recipe)
    found = [{names[i], names[j]} for i, j, _ in pairs]
    assert len(listed) >= 20
    assert all(pair in found for pair in listed)
    assert len(found) <= 1.5 * len(listed)
