"""Cached contrastive gradients against those of the plain forward pass with the same random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmfm.losses.cached import cached_surrogates
from mmfm.losses.contrastive import clip_loss


class Dropping(nn.Module):
    """A dual encoder with dropout in both branches."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.4), nn.GELU(), nn.Linear(8, 4))
        self.text = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.4), nn.GELU(), nn.Linear(8, 4))
        self.log_scale = nn.Parameter(torch.tensor([1.0]))

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        image, text = self.image(pair[0]), self.text(pair[1])
        return (*(nn.functional.normalize(x) for x in (image, text)), self.log_scale.exp())  # type: ignore[return-value]


def setup() -> tuple[Dropping, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    model = Dropping().double()
    return model, [(torch.randn(n, 5).double(), torch.randn(n, 5).double()) for n in (3, 5, 2)]


def test_dropout_is_the_same_in_both_passes() -> None:
    plain, batches = setup()
    torch.manual_seed(7)
    features = [plain(batch) for batch in batches]
    expected = clip_loss(
        torch.cat([f[0] for f in features]), torch.cat([f[1] for f in features]), features[0][2]
    )
    expected.backward()
    after = torch.get_rng_state()

    cached, batches = setup()
    torch.manual_seed(7)
    loss, surrogates = cached_surrogates(cached, batches, clip_loss)
    for surrogate in surrogates:
        torch.rand(3)  # what the caller draws in between must not matter
        surrogate.backward()

    torch.testing.assert_close(loss, expected.detach())
    for (name, one), other in zip(plain.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12, msg=name)

    torch.manual_seed(7)
    list(cached_surrogates(cached, batches, clip_loss)[1])
    assert torch.equal(torch.get_rng_state(), after), "random numbers are left where one pass leaves them"


def test_every_micro_batch_reaches_every_parameter() -> None:
    """An engine that reduces gradients by micro-batch must find one for each parameter."""
    model, batches = setup()
    for surrogate in cached_surrogates(model, batches, clip_loss)[1]:
        model.zero_grad()
        surrogate.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


def test_single_micro_batch_runs_once() -> None:
    model, batches = setup()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    loss, surrogates = cached_surrogates(model, batches[:1], clip_loss)
    (only,) = surrogates
    assert only.item() == loss.item() and len(calls) == 1
