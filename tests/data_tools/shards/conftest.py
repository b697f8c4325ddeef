"""A handful of tiny images with their table, and recipes over them."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_tools.config import DedupConfig, PackConfig, ShardsConfig, SourceConfig
from data_tools.shards.build import shard

COLUMNS = {"file": "file", "lesion_id": "lesion", "patient_id": "patient", "label": "class"}
CLASSES = ("MEL", "NEV", "BCC")
IMAGES = 48


@pytest.fixture(scope="session")
def draw() -> Callable[[Path, int], None]:
    """`draw(path, seed)` writes a picture of 24 x 20 coloured blocks, different for each seed."""

    def draw(path: Path, seed: int) -> None:
        blocks = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(blocks.repeat(4, axis=0).repeat(4, axis=1))
        picture.save(path, **({"quality": 90} if path.suffix == ".jpg" else {}))

    return draw


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory, draw: Callable[[Path, int], None]) -> Path:
    """48 images of 24 lesions (two each) with their table, `table.csv`; image 4 is a PNG."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "images").mkdir()
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "lesion", "patient", "class"))
        for number in range(IMAGES):
            name = f"img{number:02d}" + (".png" if number == 4 else ".jpg")
            draw(folder / "images" / name, number)
            lesion = number // 2
            writer.writerow((name, f"L{lesion}", f"P{lesion // 2}", CLASSES[lesion % 3]))
    return folder


@pytest.fixture()
def raw(tmp_path: Path, drawn: Path) -> Path:
    """The drawn images, for this test to change."""
    return shutil.copytree(drawn, tmp_path / "raw")


def make_recipe(raw: Path, output: Path, workers: int, **changes: Any) -> ShardsConfig:
    source = SourceConfig(
        dataset="tiny", metadata="table.csv", images="images", domain="drawn", columns=COLUMNS
    )
    settings: dict[str, Any] = {
        "sources": [source],
        "dedup": DedupConfig(enabled=False),
        "pack": PackConfig(samples_per_shard=7, workers=workers),
    }
    return ShardsConfig(root=str(raw), output=str(output), **{**settings, **changes})


@pytest.fixture()
def recipe(raw: Path, tmp_path: Path) -> Callable[..., ShardsConfig]:
    """`recipe(output="shards", workers=1, **changes)`: the config over `raw`, seven samples in a shard."""

    def recipe(output: str = "shards", workers: int = 1, **changes: Any) -> ShardsConfig:
        return make_recipe(raw, tmp_path / output, workers, **changes)

    return recipe


@pytest.fixture(scope="session")
def sound(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder of shards of the drawn images. Tests copy it and never write there."""
    output = tmp_path_factory.mktemp("sound") / "shards"
    shard(make_recipe(drawn, output, workers=1))
    return output


@pytest.fixture(scope="session")
def digests() -> Callable[[Path], dict[str, str]]:
    """`digests(folder)`: SHA-256 of every file below a folder, by its relative path."""

    def digests(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    return digests
