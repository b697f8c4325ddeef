from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmfm.config import load
from mmfm.config.schema import PretrainConfig
from mmfm.data.batching import Batching
from mmfm.data.tokenizer import fit_tokenizer
from mmfm.errors import ConfigError
from mmfm.models.build import build_dual_encoder
from mmfm.models.presets import preset_layer
from mmfm.training.task import all_notes, open_shared_stream, tower_digest


def config(shards: Path, *overrides: str) -> PretrainConfig:
    given = ["model.preset=demo", f"data.shards={shards}", "data.image_size=32", "run.name=a", *overrides]
    return load(PretrainConfig, None, given, base=preset_layer)


def test_a_batch_larger_than_the_split_is_refused(shards_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.global_batch=4096 is more than the \d+ samples"):
        open_shared_stream(
            config(shards_folder),
            None,
            None,
            Batching(4096),
            torch.device("cpu"),
            lambda action: action(lambda: None),
        )


def test_the_digest_of_a_frozen_tower_tells_weights_and_pooling_apart(shards_folder: Path) -> None:
    recipe = config(shards_folder)
    torch.manual_seed(0)
    tower = build_dual_encoder(recipe.model, 32, fit_tokenizer(all_notes(recipe), 500), 96).text
    first = tower_digest(tower)
    assert tower_digest(tower) == first
    tower.pooling = "cls"
    second = tower_digest(tower)
    with torch.no_grad():
        next(tower.parameters()).add_(1e-3)
    assert len({first, second, tower_digest(tower)}) == 3


def test_notes_of_the_train_split_alone_are_read(shards_folder: Path) -> None:
    train, test = (set(all_notes(config(shards_folder, f"data.split={name}"))) for name in ("train", "test"))
    assert train and test and train != test
