from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfm.config import load
from mmfm.config.schema import PretrainConfig
from mmfm.errors import CheckpointError
from mmfm.training.runfolder import RunFolder


def config(root: Path, *overrides: str) -> PretrainConfig:
    return load(PretrainConfig, None, [f"run.root={root}", "run.name=a", "data.shards=s", *overrides])


def prepare(cfg: PretrainConfig) -> RunFolder:
    folder = RunFolder.of(cfg.run)
    folder.prepare(cfg)
    return folder


def test_prepared_folder_holds_config_and_environment(tmp_path: Path) -> None:
    folder = prepare(config(tmp_path, "train.steps=7"))
    assert load(PretrainConfig, folder.config).train.steps == 7
    assert json.loads((folder.path / "env.json").read_text())["packages"]["torch"]


def test_folder_of_another_config_is_refused_with_the_differences(tmp_path: Path) -> None:
    folder = prepare(config(tmp_path, "train.steps=7"))
    before = folder.config.read_bytes()
    with pytest.raises(CheckpointError, match=r"train\.steps: 7 there, 9 here"):
        prepare(config(tmp_path, "train.steps=9"))
    with pytest.raises(CheckpointError, match=r"data\.weights\.label\.MEL: not set there, 2\.0 here"):
        prepare(config(tmp_path, "train.steps=7", "data.weights.label.MEL=2"))
    assert folder.config.read_bytes() == before


def test_cluster_and_reporting_may_change(tmp_path: Path) -> None:
    prepare(config(tmp_path))
    folder = prepare(config(tmp_path, "cluster.processes=2", "log.every=1", "data.workers=7"))
    assert load(PretrainConfig, folder.config).cluster.processes == 2
