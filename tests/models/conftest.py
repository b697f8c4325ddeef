"""Small models that build in a moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmfm.config import load
from mmfm.config.schema import ModelConfig, PretrainConfig
from mmfm.data.tokenizer import Tokenizer, fit_tokenizer
from mmfm.models.build import build_dual_encoder
from mmfm.models.dual import DualEncoder
from mmfm.models.presets import preset_layer

NOTES = ["a benign nevus on the arm", "melanoma of the leg, female, 50 years", "keratosis, male, trunk"] * 3
SIZE, MAX_TOKENS = 32, 16


@pytest.fixture
def recipe() -> Callable[..., ModelConfig]:
    """`recipe("model.a=b", ...)` -> the model section of a recipe that starts from the demo preset."""

    def build(*overrides: str) -> ModelConfig:
        words = ["model.preset=demo", *overrides]
        return load(PretrainConfig, None, words, base=preset_layer).model

    return build


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return fit_tokenizer(NOTES, 100)


@pytest.fixture
def encoder(recipe: Callable[..., ModelConfig], tokenizer: Tokenizer) -> DualEncoder:
    """The demo preset at 32 pixels, in evaluation mode."""
    torch.manual_seed(0)
    return build_dual_encoder(recipe(), SIZE, tokenizer, MAX_TOKENS).eval()


@pytest.fixture
def sample() -> dict[str, torch.Tensor]:
    """Three images and notes of 6, 4 and 2 tokens."""
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=random)
    tokens = torch.randint(4, 30, (3, 6), generator=random)
    mask = (torch.arange(6) < torch.tensor([[6], [4], [2]])).long()
    return {"images": images, "tokens": tokens * mask, "mask": mask}
