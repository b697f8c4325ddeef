from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mmfm.config import load
from mmfm.config.schema import PretrainConfig
from mmfm.data.manifest import Manifest, ShardInfo, SplitInfo
from mmfm.errors import CheckpointError, ConfigError
from mmfm.training.runfolder import RunFolder


def config(root: Path, *overrides: str) -> PretrainConfig:
    return load(
        PretrainConfig, None, [f"run.root={root}", "run.name=a", f"data.shards={root / 'shards'}", *overrides]
    )


@pytest.fixture(autouse=True)
def shards(tmp_path: Path) -> Path:
    """A folder with a manifest, which is all of the shards that a run folder looks at."""
    write_manifest(tmp_path / "shards", "one")
    return tmp_path / "shards"


def write_manifest(folder: Path, content: str) -> None:
    folder.mkdir(exist_ok=True)
    shard = ShardInfo("train/a.tar", 1, 1, hashlib.sha256(content.encode()).hexdigest(), "i", "")
    Manifest(splits={"train": SplitInfo(1, [shard])}).write(folder)


def prepare(cfg: PretrainConfig) -> RunFolder:
    folder = RunFolder.of(cfg.run)
    folder.prepare(cfg)
    return folder


def begin(cfg: PretrainConfig) -> RunFolder:
    """A folder in which training has begun."""
    folder = prepare(cfg)
    folder.metrics.write_text("")
    return folder


def test_a_start_that_failed_before_its_first_step_leaves_no_claim(tmp_path: Path) -> None:
    prepare(config(tmp_path, "train.steps=7")).tokenizer.write_text("of another vocabulary")
    folder = prepare(config(tmp_path, "train.steps=9"))
    assert load(PretrainConfig, folder.config).train.steps == 9
    assert not folder.tokenizer.exists()


def test_prepared_folder_holds_config_and_environment(tmp_path: Path) -> None:
    folder = prepare(config(tmp_path, "train.steps=7"))
    assert load(PretrainConfig, folder.config).train.steps == 7
    assert json.loads((folder.path / "env.json").read_text())["packages"]["torch"]


def test_folder_of_another_config_is_refused_with_the_differences(tmp_path: Path) -> None:
    folder = begin(config(tmp_path, "train.steps=7"))
    before = folder.config.read_bytes()
    with pytest.raises(CheckpointError, match=r"train\.steps: 7 there, 9 here"):
        prepare(config(tmp_path, "train.steps=9"))
    with pytest.raises(CheckpointError, match=r"data\.weights\.label\.MEL: not set there, 2\.0 here"):
        prepare(config(tmp_path, "train.steps=7", "data.weights.label.MEL=2"))
    assert folder.config.read_bytes() == before


def test_cluster_and_reporting_may_change(tmp_path: Path) -> None:
    begin(config(tmp_path))
    prepare(config(tmp_path, "cluster.processes=2", "log.every=1", "data.workers=7"))


def test_a_run_does_not_go_on_with_other_shards(tmp_path: Path, shards: Path) -> None:
    begin(config(tmp_path))
    moved = shards.rename(tmp_path / "moved")
    prepare(config(tmp_path, f"data.shards={moved}"))  # the same ones may lie elsewhere
    write_manifest(moved, "two")
    with pytest.raises(CheckpointError, match=r"moved are not those that the run in .* began with"):
        prepare(config(tmp_path, f"data.shards={moved}"))


def test_a_cut_config_is_an_answer_and_no_traceback(tmp_path: Path) -> None:
    folder = begin(config(tmp_path))
    folder.config.write_text("run: {name: [")
    with pytest.raises(ConfigError, match=r"config\.yaml is not valid YAML"):
        prepare(config(tmp_path))
