"""Going on with another number of ranks: the same state to the last bit, the same losses within rounding."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401  what DeepSpeed would import in each rank anew
import pytest
import torch
import training_processes as runs
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
from forked_ranks import RankForker
from torch import Tensor, nn

from mmfm.config import load
from mmfm.config.schema import OptimConfig, PretrainConfig, TrainConfig
from mmfm.errors import CheckpointError
from mmfm.models.presets import preset_layer
from mmfm.training.checkpoint import Position, read_position
from mmfm.training.engine import Engine, process_group
from mmfm.training.reshard import WEIGHT, Pieces, Slice, Source
from mmfm.training.trainer import pretrain

BATCH, STEPS = 8, 3
RATE = 0.01
OPTIM = OptimConfig(weight_decay=0.5, tower_lr_scale=0.5)


class Net(nn.Module):
    """Odd sizes, fewer elements than ranks, groups of unlike decay, a frozen part and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
        self.head = nn.Linear(3, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("shift", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.frozen(self.head(self.image(x))) + self.shift


def go_on(
    rank: int, world: int, train: TrainConfig, start: Path | None, saved_by: int, save: Path | None
) -> dict[str, Any]:
    """Train `STEPS` steps from `start` (from scratch without), save, and train as many again."""
    torch.set_num_threads(1)
    with process_group(train, BATCH // world, 1, clip=1.0, seconds=60) as accelerator:
        torch.manual_seed(1)
        net = Net()
        engine = Engine(accelerator, net, OPTIM)
        first = 0
        if start:
            engine.load(start, Position(STEPS, 0, saved_by, train.zero_stage))
            first = STEPS
        else:
            net.shift.fill_(0.25)
        losses = [step(engine, number, rank, world) for number in range(first, STEPS)]
        state = state_of(engine, train.zero_stage)
        if save:
            engine.save(save)
        losses += [step(engine, number, rank, world) for number in range(STEPS, 2 * STEPS)]
        return {"losses": losses, **state}


def step(engine: Engine, number: int, rank: int, world: int) -> float:
    """One step on this rank's share of a global batch that is the same for any number of ranks."""
    torch.manual_seed(number)
    share = torch.randn(BATCH, 7)[rank * BATCH // world : (rank + 1) * BATCH // world]
    loss = engine.forward(x=share.to(engine.model.head.weight.dtype)).float().square().mean()
    outcome = engine.step(iter([(loss, loss.detach())]), [SimpleNamespace(keys=[])], RATE, False)  # type: ignore[list-item]
    return outcome.loss


def state_of(engine: Engine, stage: int) -> dict[str, Any]:
    """Whole weights and moments by name, settings by group, buffers and counters."""
    wrapped = engine._engine
    if stage in (1, 2):
        wrapped.optimizer._hp_optimizer_states_linked = (
            False  # at its first step DeepSpeed links one group only
        )
        wrapped.optimizer._lazy_init_hp_params_optimizer_state()
    tensors = {}
    for name, parameter in engine.model.named_parameters():
        if stage and parameter.requires_grad:
            tensors[name] = safe_get_full_fp32_param(parameter).clone()
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{name}.{key}"] = safe_get_full_optimizer_state(parameter, key).clone()
    return {
        "tensors": tensors,
        "groups": [(group["weight_decay"], group["lr_scale"]) for group in wrapped.optimizer.param_groups],
        "shift": engine.model.shift.float().tolist(),
        "counters": (wrapped.global_steps, wrapped.global_samples, wrapped.skipped_steps),
    }


@pytest.fixture(scope="module")
def forker() -> Iterator[RankForker]:
    with RankForker() as forker:
        yield forker


@pytest.mark.parametrize(
    ("stage", "precision"), [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (2, "bf16"), (3, "bf16")]
)
def test_other_numbers_of_ranks_get_the_same_state(
    forker: RankForker, tmp_path: Path, stage: int, precision: str
) -> None:
    train = TrainConfig(zero_stage=stage, precision=precision)
    by_two, by_four = tmp_path / "two", tmp_path / "four"
    undisturbed = forker.run(go_on, 2, train, None, 0, by_two)[0]
    tolerance = {"rel": 1e-5} if precision == "fp32" else {"rel": 0.02}
    for world, start, saved_by, save in (
        (1, by_two, 2, None),
        (4, by_two, 2, by_four),
        (2, by_four, 4, None),
    ):
        for there in forker.run(go_on, world, train, start, saved_by, save):
            assert there["tensors"].keys() == undisturbed["tensors"].keys()
            for name, tensor in undisturbed["tensors"].items():
                assert torch.equal(there["tensors"][name], tensor), name
            assert there["groups"] == undisturbed["groups"]
            assert there["shift"] == undisturbed["shift"] == [0.25] * 3
            assert there["counters"] == undisturbed["counters"]
            assert there["losses"] == pytest.approx(undisturbed["losses"][STEPS:], **tolerance)


def train_until(rank: int, world: int, overrides: list[str], stop: int) -> tuple[int, int]:
    """Begin or go on with a run, asked to stop when step `stop` is saved; its (step, number of ranks)."""

    def on_saved(folder: Path, step: int) -> None:
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    config = load(PretrainConfig, None, [*runs.TINY, *overrides], base=preset_layer)
    position = read_position(pretrain(config, on_saved))
    return position.step, position.world_size


def test_run_goes_on_with_more_and_with_fewer_ranks(
    forker: RankForker, shards_folder: Path, reference_run: Path, tmp_path: Path
) -> None:
    where = [f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=b"]
    overrides = [*where, "train.steps=30", "train.zero_stage=3", "checkpoint.every=5"]
    got = [
        forker.run(train_until, *plan)[0]
        for plan in ((2, overrides, 5), (4, overrides, 10), (1, overrides, 30))
    ]
    assert got == [(6, 2), (11, 4), (30, 1)]
    assert runs.losses(tmp_path / "b") == pytest.approx(runs.losses(reference_run), abs=2e-4)


def test_parameter_that_nobody_saved_whole_is_refused(tmp_path: Path) -> None:
    saved = Source(
        {WEIGHT: [torch.arange(4.0)]}, {}, [Slice("head.weight", start=0, numel=4, group=0, offset=0)]
    )
    pieces = Pieces([saved], tmp_path)
    got = pieces.fill(torch.zeros(3), WEIGHT, iter([Slice("head.weight", 1, 2, 0, 1)]))
    assert got.tolist() == [0.0, 1.0, 2.0]
    for name, numel in (("head.weight", 5), ("other", 1)):
        with pytest.raises(CheckpointError, match=f"of {numel} elements of {name} "):
            pieces.fill(torch.zeros(5), WEIGHT, iter([Slice(name, 0, numel, 0, 0)]))
