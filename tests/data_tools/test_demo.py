"""The drawn set: reproducible, told truly by its metadata, and readable by its recipe."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import demo
from data_tools.config import ShardsConfig
from data_tools.demo import COLUMNS, draw_demo_set
from data_tools.demo.draw import CLINICAL, DERMOSCOPIC, SKIN, draw_image
from data_tools.demo.lesion import HABITS, Lesion, draw_lesion
from data_tools.demo.structures import COLOURS, STRUCTURES
from data_tools.notes.registry import write_notes
from data_tools.sources import read_source
from mmfm.config import load
from mmfm.errors import DataError
from mmfm.taxonomy import CODES

RECIPE = Path(__file__).parents[2] / "configs" / "data" / "demo.yaml"


def plain(**changes: object) -> Lesion:
    """A large light brown lesion on light skin without structures."""
    lesion = Lesion(
        "NEV", "melanocytic nevus", "symmetric", "sharp", ("light brown",), ("structureless",), 9.0, 1, 40,
        "male", "back", 5,
    )  # fmt: skip
    return replace(lesion, **changes)  # type: ignore[arg-type]


def shade(lesion: Lesion, domain: str = DERMOSCOPIC) -> np.ndarray:
    """Mean picture over views, which evens out hairs, light and pose: (96, 96, 3)."""
    return np.mean([draw_image(lesion, domain, view) for view in range(8)], axis=0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_demo_set(folder, images=90, seed=3, side=64)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_same_bytes_and_other_seed_others(drawn: Path, tmp_path: Path) -> None:
    draw_demo_set(tmp_path / "same", images=12, seed=3, side=64)
    draw_demo_set(tmp_path / "other", images=12, seed=4, side=64)
    for path in sorted((tmp_path / "same" / "images").iterdir()):
        assert path.read_bytes() == (drawn / "images" / path.name).read_bytes()
    assert rows(tmp_path / "same") == rows(drawn)[:12]
    assert rows(tmp_path / "other") != rows(drawn)[:12]


def test_several_processes_draw_the_same(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CHUNK", 6)
    monkeypatch.setattr("data_tools.workers.cores", lambda: 2)
    draw_demo_set(tmp_path, images=12, seed=3, side=64)
    for path in sorted((tmp_path / "images").iterdir()):
        assert path.read_bytes() == (drawn / "images" / path.name).read_bytes()


def test_an_image_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.imwrite", lambda *_: False)  # as it does on a full disk
    with pytest.raises(DataError, match=r"cannot write .*D000000\.jpg"):
        draw_demo_set(tmp_path, images=2, side=32)


def test_table_and_images_belong_together(drawn: Path) -> None:
    table = rows(drawn)
    assert len(table) == 90 and tuple(table[0]) == COLUMNS
    assert {row["file"] for row in table} == {path.name for path in (drawn / "images").iterdir()}
    with Image.open(drawn / "images" / table[0]["file"]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")
    lesions: dict[str, set[tuple[str, ...]]] = {}
    for row in table:
        lesions.setdefault(row["lesion_id"], set()).add(tuple(row[name] for name in COLUMNS[2:]))
    assert all(len(told) == 1 for told in lesions.values())  # all pictures of a lesion tell the same
    assert 1.2 < len(table) / len(lesions) < 1.8
    assert {row["dataset"] for row in table} == {"demo", "demo_clinical"}


def test_recipe_reads_it_and_notes_tell_it(drawn: Path) -> None:
    recipe = load(ShardsConfig, RECIPE)
    results = [read_source(source, drawn) for source in recipe.sources]
    assert [source.heldout for source in recipe.sources] == [False, True]
    assert sum(len(result.records) for result in results) == 90 and not any(
        result.rejects for result in results
    )
    for item in results[0].records:
        text = write_notes(item.record, ["M"])["M"].text
        told = item.record.extras
        assert item.record.class_name in text and told["asymmetry"] in text.lower() and told["border"] in text
        for word in (*told["colours"].split("; "), *told["structures"].split("; ")):
            assert (word if word != "structureless" else "without inner structures") in text


def test_words_of_the_habits_are_all_drawn() -> None:
    for habit in HABITS:
        assert {*habit.base, *habit.others} <= set(COLOURS)
        assert {*habit.always, *habit.often} <= {*STRUCTURES, "streaks"}
        assert habit.code in CODES
        assert sum(habit.asymmetry.values()) == pytest.approx(1) == sum(habit.border.values())


def test_all_classes_occur_and_none_rules() -> None:
    counts = np.bincount([CODES.index(draw_lesion(seed).code) for seed in range(2000)], minlength=len(CODES))
    assert counts.min() > 120 and counts.max() < 500


@pytest.mark.parametrize("structure", [*STRUCTURES, "streaks"])
def test_every_structure_changes_the_picture(structure: str) -> None:
    without, with_it = (
        draw_image(plain(structures=(s,)), DERMOSCOPIC, 0) for s in ("structureless", structure)
    )
    changed = np.abs(without.astype(int) - with_it.astype(int)).max(axis=2) > 12
    assert 0.004 < changed.mean() < 0.25


@pytest.mark.parametrize("colour", list(COLOURS))
def test_the_base_colour_is_the_colour_of_the_centre(colour: str) -> None:
    centre = shade(plain(colours=(colour,)))[44:52, 44:52].mean(axis=(0, 1))
    nearest = min(COLOURS, key=lambda name: float(np.abs(centre - COLOURS[name]).sum()))
    assert nearest == colour


@pytest.mark.parametrize("domain", [DERMOSCOPIC, CLINICAL])
def test_a_larger_lesion_covers_more(domain: str) -> None:
    small, large = (shade(plain(size_mm=size), domain).mean() for size in (4.0, 12.0))
    assert large < small - 5  # it is darker than the skin


def test_skin_is_darker_from_type_to_type() -> None:
    border = [shade(plain(skin_tone=tone))[10:20, 40:56].mean() for tone in sorted(SKIN)]
    assert border == sorted(border, reverse=True)


def test_asymmetry_and_border_shape_the_outline() -> None:
    def overlap(lesion: Lesion) -> float:
        """Share of the lesion that stays in place when the picture is turned by 180 degrees."""
        values = []
        for seed in range(6):
            picture = draw_image(replace(lesion, seed=seed, colours=("black",)), DERMOSCOPIC, 0)
            mask = picture.max(axis=2) < 110
            mask[:12], mask[-12:], mask[:, :12], mask[:, -12:] = False, False, False, False
            y, x = (round(float(np.mean(places))) for places in np.nonzero(mask))
            centred = np.roll(mask, (48 - y, 48 - x), (0, 1))
            values.append((centred & np.roll(centred[::-1, ::-1], (1, 1), (0, 1))).sum() / centred.sum())
        return float(np.mean(values))

    even = overlap(plain())
    assert even > overlap(plain(asymmetry="asymmetric")) + 0.05
    assert even > overlap(plain(border="irregular")) + 0.02
