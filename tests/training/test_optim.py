from __future__ import annotations

import itertools

import pytest

from mmfm.config import load
from mmfm.config.schema import OptimConfig, PretrainConfig
from mmfm.data.tokenizer import fit_tokenizer
from mmfm.models.build import build_dual_encoder
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.models.presets import preset_layer
from mmfm.training.optim import build_optimizer, learning_rate, set_learning_rate


def test_rate_warms_up_then_falls_as_a_cosine() -> None:
    config = OptimConfig(lr=1.0, warmup_steps=10, final_lr_share=0.1)
    rates = [learning_rate(step, 111, config) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55, abs=1e-9)  # half-way down the cosine
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_warmup_longer_than_the_run_is_no_error() -> None:
    assert learning_rate(4, 5, OptimConfig(lr=1.0, warmup_steps=10)) == pytest.approx(0.5)


@pytest.fixture
def towers() -> DualEncoder:
    config = load(PretrainConfig, None, ["model.preset=demo"], base=preset_layer).model
    return build_dual_encoder(config, 32, fit_tokenizer(["a mole", "a scar"], 300), 16)


def test_only_matrices_decay_and_towers_have_their_own_rate(towers: DualEncoder) -> None:
    towers.text.freeze()
    optimizer = build_optimizer(towers, OptimConfig(lr=1.0, weight_decay=0.3, tower_lr_scale=0.1))
    set_learning_rate(optimizer, 0.5)
    of = {
        id(parameter): (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in towers.named_parameters():
        if name.startswith("text."):
            assert id(parameter) not in of  # frozen
            continue
        decay = 0.3 if parameter.ndim >= 2 else 0.0
        rate = 0.05 if name.startswith("image.") else 0.5
        assert of[id(parameter)] == (decay, pytest.approx(rate)), name


def test_a_classifier_has_the_same_groups(towers: DualEncoder) -> None:
    classifier = Classifier(towers, "both")
    optimizer = build_optimizer(classifier, OptimConfig(lr=1.0, tower_lr_scale=0.1))
    scale = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in classifier.named_parameters():
        assert scale[id(parameter)] == (1.0 if "classifier" in name else 0.1), name
