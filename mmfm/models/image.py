"""Image towers: any timm model, from uint8 pixels to one pooled vector per image."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from mmfm.config.schema import ImageTowerConfig
from mmfm.errors import ConfigError, DataError
from mmfm.models.weights import load_strictly, read_weights


class ImageTower(nn.Module):
    """A timm model without its classifier.

    Takes images (b, 3, H, W), uint8 in 0..255 or float in [0, 1], and returns pooled features (b, width) in
    the dtype of the computation. The normalisation by channel is part of the tower.

    Batch norms, in models that have them, take their statistics from the micro-batch of each process: their
    numbers then depend on how a batch is dealt out, and the running statistics saved are those of rank 0.
    """

    def __init__(self, body: nn.Module, config: ImageTowerConfig, width: int) -> None:
        super().__init__()
        self.body = body
        self.width = width
        self.frozen = False
        self.mean, self.std = tuple(config.mean), tuple(config.std)
        if config.freeze:
            self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Tensor = self.body(self._normalised(images))
        return features

    def freeze(self) -> None:
        """Keep the tower as it is from now on."""
        self.frozen = True
        self.requires_grad_(False)
        self.body.eval()

    def train(self, mode: bool = True) -> ImageTower:
        """As usual, but a frozen tower stays in evaluation mode: no dropout, no running statistics."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def _normalised(self, images: Tensor) -> Tensor:
        # Made at each call and not kept as buffers: an engine that casts the module would round them.
        scaled = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        normalised = ((scaled - mean) / std).to(next(self.body.parameters()).dtype)
        # Convolutions follow the layout of their input; this one is faster on CPUs and on tensor cores.
        return normalised.contiguous(memory_format=torch.channels_last)


def build_image_tower(config: ImageTowerConfig, image_size: int) -> ImageTower:
    """Build the tower for square images of `image_size` pixels, with random or local weights.

    Raises `ConfigError` for an unknown model, options it does not take or a size it cannot see, and
    `DataError` for weights that are missing or do not fit.
    """
    for name, values in (("mean", config.mean), ("std", config.std)):
        if len(values) != 3:
            raise ConfigError(f"model.image.{name}={list(values)} must have three values, one per channel")
    body = _create(config, image_size)
    if config.weights:
        _load(body, config)
    return ImageTower(body, config, _output_width(body, config, image_size))


def _create(config: ImageTowerConfig, image_size: int) -> nn.Module:
    name = config.name
    if not timm.is_model(name.split(".")[0]) or ":" in name:
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise ConfigError(f"model.image.name={name!r} is not a timm model.{hint} See timm.list_models()")
    options = {"num_classes": 0, **config.options}
    try:
        try:
            return timm.create_model(name, **{"img_size": image_size, **options})
        except TypeError as error:
            if "img_size" not in str(error) or "img_size" in config.options:
                raise
            return timm.create_model(name, **options)  # convolutional: takes every size
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"timm cannot build {name} at {image_size} pixels with model.image.options={config.options}: "
            f"{error}"
        ) from error


def _load(body: nn.Module, config: ImageTowerConfig) -> None:
    path = Path(config.weights)
    hint = (
        f"Fetch them first: `hf download timm/{config.name}.TAG --local-dir {path.parent}` "
        f"(timm.list_pretrained('{config.name}*') lists the tags), or start at random with "
        "model.image.weights=''"
    )
    state = read_weights(path, hint)
    # timm's own filter of the model family: other layouts of the file, other sizes of position embeddings.
    convert = getattr(inspect.getmodule(type(body)), "checkpoint_filter_fn", None)
    try:
        state = dict(convert(state, body)) if convert else state
    except (KeyError, RuntimeError) as error:
        raise DataError(f"weights {path} are not weights of {config.name}: {error!r}") from error
    classifier = getattr(body, "pretrained_cfg", {}).get("classifier", ())
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    own = body.state_dict()
    kept = {
        key: value
        for key, value in state.items()
        if key in own or not key.startswith(tuple(f"{head}." for head in heads))
    }
    load_strictly(body, kept, f"weights {path} (model.image.weights, for {config.name})", DataError)


def _output_width(body: nn.Module, config: ImageTowerConfig, image_size: int) -> int:
    """Features per image, by a trial run: some models widen their output after `num_features`."""
    training = body.training
    try:
        with torch.no_grad():
            features = body.eval()(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{config.name} cannot see images of {image_size} pixels: {error}") from error
    finally:
        body.train(training)
    if features.dim() != 2:
        raise ConfigError(f"{config.name} gives no pooled features: its output is {tuple(features.shape)}")
    return int(features.shape[1])
