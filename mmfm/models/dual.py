"""The dual encoder: two towers and their projection into one space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfm.config.schema import ModelConfig
from mmfm.data.tokenizer import Tokenizer
from mmfm.models.image import ImageTower
from mmfm.models.text import TextTower

MAX_SCALE = 100.0


@dataclass
class ModelSpec:
    """What it takes to build a model again and to feed it. Every model carries its own as `model.spec`."""

    kind: Literal["dual", "classifier"]
    config: ModelConfig
    image_size: int  # pixels
    max_tokens: int
    tokenizer: Tokenizer
    inputs: str = ""  # of a classifier: image, note or both


class DualEncoder(nn.Module):
    """Image and note embeddings in one space, and the learned scale of their similarity.

    Embeddings are float32 with L2 norm 1, whatever the towers compute in. `log_scale` has shape (1,) because
    ZeRO stages 2 and 3 cannot shard a 0-dim parameter.
    """

    def __init__(self, image: ImageTower, text: TextTower, spec: ModelSpec) -> None:
        super().__init__()
        config = spec.config
        self.spec = spec
        self.image = image
        self.text = text
        self.image_head = _head(config.head, image.width, config.embed_dim)
        self.text_head = _head(config.head, text.width, config.embed_dim)
        self.log_scale = nn.Parameter(torch.tensor([math.log(1 / config.temperature)]))

    @property
    def scale(self) -> Tensor:
        """Inverse temperature, float32 (1,), at most 100.

        The gradient passes the bound unchanged: a plain clamp would hold the parameter there for ever.
        """
        free = self.log_scale.float()
        bounded = free + (free.clamp(max=math.log(MAX_SCALE)) - free).detach()
        return bounded.exp()

    def encode_image(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) uint8, or float in [0, 1] -> (b, embed_dim)."""
        return self.encode_image_features(self.image(images))

    def encode_image_features(self, features: Tensor) -> Tensor:
        """(b, image width), the image tower's output -> (b, embed_dim)."""
        return _embed(self.image_head, features)

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(b, T) int64 and (b, T) mask -> (b, embed_dim)."""
        return _embed(self.text_head, self.text(tokens, mask))

    def encode_text_features(self, features: Tensor) -> Tensor:
        """(b, text width) from `TextTower.encode_pooled` -> (b, embed_dim)."""
        return _embed(self.text_head, features)

    def forward(
        self,
        images: Tensor,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        text_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image embeddings (b, embed_dim), text embeddings (b, embed_dim) and the scale (1,).

        The text comes as tokens with their mask, or as the cached output of a frozen tower.
        """
        if text_features is not None:
            text = self.encode_text_features(text_features)
        else:
            assert tokens is not None and mask is not None, "neither tokens nor text features"
            text = self.encode_text(tokens, mask)
        return self.encode_image(images), text, self.scale


def _head(kind: str, width: int, embed_dim: int) -> nn.Module:
    """`linear`: one matrix. `mlp`: two layers with a GELU between them."""
    if kind == "linear":
        return nn.Linear(width, embed_dim, bias=False)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, embed_dim, bias=False))


def _embed(head: nn.Module, features: Tensor) -> Tensor:
    projected: Tensor = head(features.to(next(head.parameters()).dtype))
    return functional.normalize(projected.float(), dim=-1)
