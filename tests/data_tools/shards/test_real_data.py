"""Some real lesions by the CPU recipe: what must hold if scores on the test split are to mean anything."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from data_tools.config import DedupConfig, ShardsConfig
from data_tools.leaks import find_leaks, read_sides
from data_tools.shards.build import shard
from data_tools.shards.verify import verify
from mmfm.config import load
from mmfm.data.index import SPLITS, TRAIN, VAL, Split
from mmfm.records import Record

RECIPE = Path(__file__).parents[3] / "configs" / "data" / "derm_cpu.yaml"
TABLES = {  # with the column that holds the name of the image
    "manifest.csv": "image_id",
    "milk10k/MILK10k_Training_Metadata.csv": "isic_id",
    "pad_ufes20/metadata.csv": "img_id",
}
LESIONS = 80  # of each table, besides those of known near-duplicates


def near_duplicates(real_data: Path) -> list[tuple[str, str]]:
    """Ids of the two images of each known pair across two sets."""
    with (real_data / "near_duplicates.csv").open(newline="") as file:
        across = [row for row in csv.DictReader(file) if row["set_a"] != row["set_b"]]
    return [(Path(row["file_a"]).stem, Path(row["file_b"]).stem) for row in across]


def copy_some(source: Path, target: Path, image: str, wanted: set[str]) -> None:
    """Copy the rows of the first lesions of a table, and of those with a `wanted` image."""
    with source.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    lesions = set(list(dict.fromkeys(row["lesion_id"] for row in rows))[:LESIONS])
    lesions |= {row["lesion_id"] for row in rows if row[image] in wanted}
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in rows if row["lesion_id"] in lesions)


@pytest.fixture
def some_real_data(real_data: Path, tmp_path: Path) -> Path:
    """The real data with some hundred rows; the images are links."""
    folder = tmp_path / "raw"
    wanted = {name for pair in near_duplicates(real_data) for name in pair}
    for path in (*real_data.glob("*/images"), *real_data.glob("milk10k/*_Training_*.csv")):
        target = folder / path.relative_to(real_data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    for table, image in TABLES.items():
        (folder / table).unlink(missing_ok=True)
        copy_some(real_data / table, folder / table, image, wanted)
    return folder


@pytest.mark.realdata
def test_no_picture_of_the_test_side_is_known_from_training(
    real_data: Path, some_real_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "shards"
    overrides = [f"root={some_real_data}", f"output={output}", "pack.samples_per_shard=100", "pack.workers=1"]
    config = load(ShardsConfig, RECIPE, overrides)
    manifest = shard(config)
    assert verify(output, decode=True, workers=1) == []
    assert all(source["records"] > 10 for source in manifest.sources)
    assert not [finding for finding in find_leaks(read_sides([output]), DedupConfig()) if finding.leaks]

    sides: dict[str, list[Record]] = {}
    for name in SPLITS:
        split = Split.open(output, name)
        sides[name] = [split.read_record(sample) for sample in range(len(split))]
    side_of: dict[str, str] = {}
    for name, records in sides.items():
        for record in records:
            groups = {record.lesion_id, record.patient_id, record.image_id} - {""}
            assert {side_of.setdefault(group, name) for group in groups} == {name}
    pairs = [[side_of[image] for image in pair if image in side_of] for pair in near_duplicates(real_data)]
    assert sum(len(pair) == 2 for pair in pairs) > 10
    assert all(len(set(pair)) <= 1 for pair in pairs)
    heldout = {source["dataset"] for source in manifest.sources if source["heldout"]}
    assert heldout == {"milk10k_clinic", "pad_ufes20"}
    assert not heldout & {record.dataset for name in (TRAIN, VAL) for record in sides[name]}
