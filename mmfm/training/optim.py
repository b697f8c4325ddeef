"""AdamW with decay exclusions, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from mmfm.config.schema import OptimConfig

TOWERS = ("image", "text")  # as the dual encoder and the classifier name them


def learning_rate(step: int, total: int, config: OptimConfig) -> float:
    """Rate of optimizer step `step` (0-based) of `total`: linear warm-up, then cosine decay.

    The first step has lr / warmup_steps, the last one `final_lr_share` of lr.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    span = max(1, total - 1 - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.lr * (config.final_lr_share + (1.0 - config.final_lr_share) * cosine)


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, grouped by decay and by learning-rate factor.

    Vectors and scalars (biases, norms, the temperature) have no decay. Parameters of the two towers take
    `tower_lr_scale`.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = (parameter.ndim >= 2, name.split(".")[0] in TOWERS)
            groups.setdefault(kind, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decayed else 0.0,
                "lr_scale": config.tower_lr_scale if in_tower else 1.0,
            }
            for (decayed, in_tower), parameters in sorted(groups.items())
        ],
        lr=config.lr,
        betas=(config.betas[0], config.betas[1]),
        eps=config.eps,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Write `rate`, times the factor of each group, into the optimizer."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
