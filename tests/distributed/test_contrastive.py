"""Gathered contrastive loss: 2 and 4 processes give what one process gives on the whole batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmfm.distributed import all_gather, all_reduce_mean, gather_with_grad
from mmfm.losses.cached import cached_surrogates
from mmfm.losses.contrastive import clip_loss

BATCH, WIDTH = 16, 12


class TwoHeads(nn.Module):
    """The smallest dual encoder: one layer per modality and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Linear(WIDTH, 6)
        self.text = nn.Linear(WIDTH, 6)
        self.log_scale = nn.Parameter(torch.tensor([1.5]))

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        image, text = (
            nn.functional.normalize(head(x.tanh()))
            for head, x in zip((self.image, self.text), pair, strict=True)
        )
        return image, text, self.log_scale.exp()


def build() -> tuple[TwoHeads, tuple[Tensor, Tensor]]:
    torch.manual_seed(3)
    model = TwoHeads().double()
    return model, (torch.randn(BATCH, WIDTH).double(), torch.randn(BATCH, WIDTH).double())


def gradients(model: nn.Module) -> dict[str, Any]:
    return {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


def whole_batch() -> tuple[float, dict[str, Any]]:
    """Loss and gradients of a single process, by the plain formula."""
    model, pair = build()
    image, text, scale = model(pair)
    logits = scale * image @ text.T
    matching = -(logits.log_softmax(1).diag().mean() + logits.log_softmax(0).diag().mean()) / 2
    matching.backward()
    return matching.item(), gradients(model)


def share_of_batch(rank: int, world: int) -> list[tuple[float, dict[str, Any]]]:
    """Loss and averaged gradients of one rank, its share as one micro-batch and as two."""
    return [in_micro_batches(rank, world, count) for count in (1, 2)]


def in_micro_batches(rank: int, world: int, micro_batches: int) -> tuple[float, dict[str, Any]]:
    """Loss and gradients of one rank, averaged over the ranks as DDP and DeepSpeed do."""
    model, pair = build()
    rows = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    parts = zip(*(x[rows].chunk(micro_batches) for x in pair), strict=True)
    loss, surrogates = cached_surrogates(model, list(parts), clip_loss)
    for surrogate in surrogates:
        surrogate.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad = all_reduce_mean(parameter.grad)
    return all_reduce_mean(loss).item(), gradients(model)


def gather_and_reduce(rank: int, world: int) -> dict[str, Any]:
    local = torch.full((2, 3), float(rank), requires_grad=True)
    gathered = gather_with_grad(local)
    (gathered * (rank + 1)).sum().backward()
    assert local.grad is not None
    return {
        "gathered": all_gather(local).numpy(),
        "gradient": local.grad.numpy(),
        "mean": all_reduce_mean(float(rank)).item(),
    }


def gather_unequal(rank: int, world: int) -> None:
    gather_with_grad(torch.zeros(2 + rank, 3))


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_and_micro_batches_equal_the_whole_batch(run_ranks: Any, world: int) -> None:
    loss, expected = whole_batch()
    ranks = run_ranks(share_of_batch, world) if world > 1 else [share_of_batch(0, 1)]
    for rank_loss, found in itertools.chain.from_iterable(ranks):
        assert rank_loss == pytest.approx(loss, rel=1e-6)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-12, err_msg=name)


def test_gather_orders_by_rank_and_sums_gradients(run_ranks: Any) -> None:
    for result in run_ranks(gather_and_reduce, 2):
        np.testing.assert_array_equal(result["gathered"], np.repeat([0.0, 1.0], 2)[:, None] * np.ones(3))
        np.testing.assert_array_equal(result["gradient"], np.full((2, 3), 1.0 + 2.0))
        assert result["mean"] == 0.5


def test_unequal_shares_are_refused(run_ranks: Any) -> None:
    """Also shows that a rank's own error reaches the test."""
    with pytest.raises(pytest.fail.Exception, match="ranks hold tensors of different shapes"):
        run_ranks(gather_unequal, 2)
