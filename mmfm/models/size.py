"""How large a model will be: it is built without memory or weights, on torch's meta device, and counted."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoConfig

from mmfm.config.schema import ModelConfig, TextTowerConfig
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder, ModelSpec
from mmfm.models.image import build_image_tower
from mmfm.models.text import build_text_tower, load_tokenizer, text_folder
from mmfm.models.textconfig import values_of


@dataclass(frozen=True)
class ModelSize:
    """Parameters in all, and those that are trained."""

    parameters: int
    trained: int

    @classmethod
    def of(cls, model: nn.Module) -> ModelSize:
        """Count those of a model."""
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        return cls(sum(n for n, _ in counts), sum(n for n, trained in counts if trained))


def dual_size(config: ModelConfig, image_size: int, max_tokens: int) -> ModelSize:
    """Size of the dual encoder that `build_dual_encoder` would make.

    Raises what that raises: `ConfigError` for what cannot be built and `DataError` for files that are missing
    or do not fit. Only the weights of a text tower are not looked into.
    """
    return ModelSize.of(_outline(config, image_size, max_tokens))


def classifier_size(
    config: ModelConfig, image_size: int, max_tokens: int, inputs: str, freeze_towers: bool
) -> ModelSize:
    """Size of a classifier on such an encoder. Raises as `dual_size`."""
    with torch.device("meta"):
        model = Classifier(_outline(config, image_size, max_tokens), inputs)
    if freeze_towers:
        model.freeze_towers()
    return ModelSize.of(model)


def _outline(config: ModelConfig, image_size: int, max_tokens: int) -> DualEncoder:
    fitted = config.text.tokenizer == "fit"
    tokenizer = load_tokenizer(config.text, lambda: ["its entries are counted by the recipe"])
    entries = config.text.vocab_size if fitted else tokenizer.vocab_size
    text_config = _without_weights(config.text) if config.text.name else config.text
    with torch.device("meta"), warnings.catch_warnings():
        # the weights of an image tower are read, to see that they fit, and go nowhere
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter.*")
        image = build_image_tower(config.image, image_size)
        text = build_text_tower(text_config, entries, tokenizer.pad_id, max_tokens)
        return DualEncoder(image, text, ModelSpec("dual", config, image_size, max_tokens, tokenizer))


def _without_weights(config: TextTowerConfig) -> TextTowerConfig:
    """The same tower by its config alone: transformers reads no weights onto the meta device."""
    own = copy.deepcopy(config)
    own.config = values_of(AutoConfig.from_pretrained(text_folder(config.name), local_files_only=True))
    own.name = ""
    return own
