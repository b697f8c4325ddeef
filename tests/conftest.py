"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread each: the suite runs several processes side by side on small machines.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="session")
def raw_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn set: images and the metadata that tell the truth about them."""
    from data_tools.demo import draw_demo_set

    folder = tmp_path_factory.mktemp("raw")
    draw_demo_set(folder, images=160, seed=1)
    return folder


@pytest.fixture(scope="session")
def shards_folder(raw_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the small drawn set, with notes M. Tests read them and never write there."""
    from data_tools.config import ShardsConfig
    from data_tools.shards import shard
    from mmfm.config import load

    folder = tmp_path_factory.mktemp("shards") / "drawn"
    recipe = Path(__file__).parents[1] / "configs" / "data" / "demo.yaml"
    overrides = [f"root={raw_folder}", f"output={folder}", "pack.samples_per_shard=24", "pack.workers=1"]
    shard(load(ShardsConfig, recipe, overrides))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MMFM_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no real data at {folder}; set MMFM_REAL_DATA")
    return folder
