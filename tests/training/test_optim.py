from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from mmfm.config.schema import OptimConfig
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


class TwoParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.log_scale = nn.Parameter(torch.zeros(1))


def test_only_matrices_decay_and_towers_have_their_own_rate() -> None:
    model = TwoParts()
    optimizer = build_optimizer(model, OptimConfig(lr=1.0, weight_decay=0.3, tower_lr_scale=0.1))
    set_learning_rate(optimizer, 0.5)
    of = {
        id(parameter): (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert of[id(model.tower[0].weight)] == (0.3, 0.05)
    assert of[id(model.tower[0].bias)] == (0.0, 0.05)
    assert of[id(model.tower[1].weight)] == (0.0, 0.05)
    assert of[id(model.head.weight)] == (0.3, 0.5)
    assert of[id(model.log_scale)] == (0.0, 0.5)
    assert id(model.frozen.weight) not in of
