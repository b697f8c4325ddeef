"""The contrastive loss in one process, against its formula in NumPy and numeric derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from mmfm.losses.contrastive import clip_loss


def formula(image: np.ndarray, text: np.ndarray, scale: float) -> float:
    """Mean negative log probability of the own partner, both ways, one pair at a time."""
    total = 0.0
    for own in range(len(image)):
        for query, pool in ((image[own], text), (text[own], image)):
            scores = [scale * float(query @ candidate) for candidate in pool]
            total -= scores[own] - np.log(np.sum(np.exp(scores)))
    return total / (2 * len(image))


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_matches_the_formula(scale: float) -> None:
    random = torch.Generator().manual_seed(0)
    image, text = (normalize(torch.randn(7, 5, generator=random, dtype=torch.float64)) for _ in range(2))
    found = clip_loss(image, text, torch.tensor([scale], dtype=torch.float64))
    assert found.shape == ()
    assert found.item() == pytest.approx(formula(image.numpy(), text.numpy(), scale), rel=1e-9)


def test_derivatives() -> None:
    random = torch.Generator().manual_seed(1)
    image, text = (
        torch.randn(4, 3, generator=random, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    scale = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(clip_loss, (image, text, scale))


def test_unpaired_features_are_refused() -> None:
    with pytest.raises(AssertionError, match=r"\(3, 2\)"):
        clip_loss(torch.zeros(4, 2), torch.zeros(3, 2), torch.ones(1))
