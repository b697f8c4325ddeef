"""The ranks of a run: who this process is, and the collectives that the losses and the trainer need.

Everything here also works in a single process without a process group: it is then a world of one.
All tensors that take part in one collective must have the same shape on every rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def initialized() -> bool:
    """Whether this process is part of a process group."""
    return dist.is_available() and dist.is_initialized()


def rank(group: ProcessGroup | None = None) -> int:
    """Number of this process in `group` (the whole world by default), from 0."""
    return dist.get_rank(group) if initialized() else 0


def world_size(group: ProcessGroup | None = None) -> int:
    """Number of processes in `group` (the whole world by default)."""
    return dist.get_world_size(group) if initialized() else 1


def barrier() -> None:
    """Wait until every rank is here."""
    if world_size() > 1:
        dist.barrier()


def all_gather(local: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Rows of all ranks, in rank order, without a gradient: (b, ...) -> (world * b, ...)."""
    world = world_size(group)
    local = local.detach().contiguous()
    if world == 1:
        return local
    everything = local.new_empty((world * local.shape[0], *local.shape[1:]))
    dist.all_gather_into_tensor(everything, local, group=group)
    return everything


def gather_with_grad(local: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Rows of all ranks, in rank order, through which gradients flow back: (b, ...) -> (world * b, ...).

    The gradient of a rank's rows is the sum of what every rank's loss says about them.
    """
    if world_size(group) == 1:
        return local
    _assert_same_shape(local, group)
    gathered: Tensor = _Gather.apply(local, group)
    return gathered


def all_reduce_mean(value: Tensor | float, group: ProcessGroup | None = None) -> Tensor:
    """Mean over the ranks, elementwise, without a gradient; a number becomes a 0-dim float64 tensor."""
    total = value.detach().clone() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    if world_size(group) > 1:
        dist.all_reduce(total, group=group)
    return total / world_size(group)


class _Gather(torch.autograd.Function):
    """all_gather whose backward sums the gradients of all ranks and keeps this rank's rows."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, group: ProcessGroup | None) -> Tensor:
        ctx.group = group
        ctx.rows = local.shape[0]
        return all_gather(local, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # All-reduce and slice: gloo has no reduce-scatter for every dtype, and features are small.
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        first = rank(ctx.group) * ctx.rows
        return total[first : first + ctx.rows], None


def _assert_same_shape(local: Tensor, group: ProcessGroup | None) -> None:
    """Unequal shapes would hang or corrupt the collective, so they are refused before it.

    Only on the CPU: on a GPU, reading the answer would make every step wait for the device.
    """
    if local.device.type == "cpu":
        shapes = all_gather(torch.tensor([local.shape], dtype=torch.int64), group)
        assert bool((shapes == shapes[:1]).all()), (
            f"ranks hold tensors of different shapes: {shapes.tolist()}"
        )
