"""Contrastive gradients of a batch that does not fit in memory at once, exact and not approximated.

A contrastive loss couples all samples of the batch, so summing the losses of micro-batches would be another
objective. Here the features of every micro-batch are computed first, without a graph; the loss of the whole
batch gives the gradient with respect to those features; then each micro-batch runs forward again, and a
scalar whose derivative is that gradient carries it into the parameters. This costs one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch")
Features = tuple[Tensor, Tensor, Tensor]  # image (b, d), text (b, d), scale (1,)
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
RandomState = tuple[Tensor, Tensor | None]  # of the CPU, and of the current CUDA device if in use


def cached_surrogates(
    forward: Callable[[Batch], Features], micro_batches: Sequence[Batch], loss_fn: Loss
) -> tuple[Tensor, Iterator[Tensor]]:
    """The loss over all `micro_batches`, and one scalar per micro-batch to call backward on, in order.

    The gradients of the scalars add up to the gradient of `loss_fn(image, text, scale)` on the joined
    features. An engine that divides by its accumulation steps k needs `scalar * k`. Each forward runs twice
    with the same random numbers, so dropout is exact; running statistics of batch norms are updated twice.
    A single micro-batch is run once, with the loss itself as its scalar. The returned loss has no graph.
    """
    assert micro_batches, "no micro-batches"
    if len(micro_batches) == 1:
        loss = loss_fn(*forward(micro_batches[0]))
        return loss.detach(), iter([loss])
    states, features = _run_without_graph(forward, micro_batches)
    images, texts = (torch.cat(parts).requires_grad_() for parts in list(zip(*features, strict=True))[:2])
    scale = features[0][2].clone().requires_grad_()
    with torch.enable_grad():
        loss = loss_fn(images, texts, scale)
    gradients = torch.autograd.grad(loss, (images, texts, scale))
    return loss.detach(), _surrogates(forward, micro_batches, states, gradients)


def _run_without_graph(
    forward: Callable[[Batch], Features], micro_batches: Sequence[Batch]
) -> tuple[list[RandomState], list[Features]]:
    states, features = [], []
    with torch.no_grad():
        for batch in micro_batches:
            states.append(_random_state())
            features.append(forward(batch))
    return states, features


def _surrogates(
    forward: Callable[[Batch], Features],
    micro_batches: Sequence[Batch],
    states: Sequence[RandomState],
    gradients: Sequence[Tensor],
) -> Iterator[Tensor]:
    first = 0
    for batch, state in zip(micro_batches, states, strict=True):
        with _forked_random(state):
            image, text, scale = forward(batch)
        rows = slice(first, first + image.shape[0])
        first = rows.stop
        # Each micro-batch carries an equal part of the scale's gradient: no parameter is left without one.
        yield (
            (image * gradients[0][rows]).sum()
            + (text * gradients[1][rows]).sum()
            + (scale * gradients[2]).sum() / len(micro_batches)
        )


def _random_state() -> RandomState:
    on_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.get_rng_state(), torch.cuda.get_rng_state() if on_cuda else None


@contextmanager
def _forked_random(state: RandomState) -> Iterator[None]:
    """Run with a stored random state, and put the present one back afterwards."""
    outer = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(outer)


def _set_random_state(state: RandomState) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
