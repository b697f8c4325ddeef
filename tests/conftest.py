"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# One thread each: the suite runs several processes side by side on small machines.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for work in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes that tests start inherit that
settings.register_profile("suite", deadline=None)  # how long an example takes says what else runs here
settings.load_profile("suite")

MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """make_once(name, make) -> a folder that `make(folder)` filled, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def raw_folder(make_once: MakeOnce) -> Path:
    """A small drawn set: images and the metadata that tell the truth about them."""
    from data_tools.demo import draw_demo_set

    return make_once("raw", lambda folder: draw_demo_set(folder, images=160, seed=1))


@pytest.fixture(scope="session")
def shards_folder(raw_folder: Path, make_once: MakeOnce) -> Path:
    """Shards of the small drawn set, with notes M. Tests read them and never write there."""
    from data_tools.config import ShardsConfig
    from data_tools.shards.build import shard
    from mmfm.config import load

    def write(folder: Path) -> None:
        recipe = Path(__file__).parents[1] / "configs" / "data" / "demo.yaml"
        where = [f"root={raw_folder}", f"output={folder / 'drawn'}"]
        shard(load(ShardsConfig, recipe, [*where, "pack.samples_per_shard=24", "pack.workers=1"]))

    return make_once("shards", write) / "drawn"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MMFM_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no real data at {folder}; set MMFM_REAL_DATA")
    return folder
