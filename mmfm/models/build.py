"""Building models from a config, and their folders: weights, description and tokenizer, readable offline."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from omegaconf import MISSING
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedConfig

from mmfm import config as configs
from mmfm.config.option import option
from mmfm.config.schema import ModelConfig
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import CheckpointError, UserError
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder, ModelSpec
from mmfm.models.image import build_image_tower
from mmfm.models.text import build_text_tower
from mmfm.models.textconfig import values_of
from mmfm.models.weights import load_strictly, read_weights, storable

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.yaml"
TOKENIZER = "tokenizer.json"
FORMAT = 1  # of the folder; a reader refuses newer ones


@dataclass
class ModelDescription:
    """What model.yaml holds."""

    format: int = option(FORMAT, "version of the folder's layout")
    kind: str = option(MISSING, "what the model is", choices=("dual", "classifier"))
    inputs: str = option("", "what a classifier sees", choices=("", "image", "note", "both"))
    image_size: int = option(MISSING, "side of the images, in pixels")
    max_tokens: int = option(MISSING, "longest note in tokens")
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass
class LoadedModel:
    """A model from its folder, in evaluation mode on the CPU."""

    model: DualEncoder | Classifier

    @property
    def spec(self) -> ModelSpec:
        """What the model is and how to feed it."""
        return self.model.spec

    @property
    def kind(self) -> Literal["dual", "classifier"]:
        """`dual` or `classifier`."""
        return self.spec.kind

    @property
    def config(self) -> ModelConfig:
        """A config that builds the model again without any other file."""
        return self.spec.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the text tower was trained with."""
        return self.spec.tokenizer

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        return self.spec.image_size

    @property
    def max_tokens(self) -> int:
        """Longest note in tokens."""
        return self.spec.max_tokens

    @property
    def inputs(self) -> str:
        """What a classifier sees: image, note or both. Empty for a dual encoder."""
        return self.spec.inputs


def build_dual_encoder(
    config: ModelConfig, image_size: int, tokenizer: Tokenizer, max_tokens: int
) -> DualEncoder:
    """Build both towers, with local or random weights as the config says, and their heads.

    Random numbers come from torch's global generator: seed it alike on all ranks.
    Raises `ConfigError` for what cannot be built and `DataError` for weights that are missing or do not fit.
    """
    image = build_image_tower(config.image, image_size)
    text = build_text_tower(config.text, tokenizer.vocab_size, tokenizer.pad_id, max_tokens)
    own_config = _self_contained(config, text.body.config)
    return DualEncoder(image, text, ModelSpec("dual", own_config, image_size, max_tokens, tokenizer))


def save_model(folder: Path, model: DualEncoder | Classifier, state: dict[str, Tensor] | None = None) -> None:
    """Write the model into `folder`: all that `load_model` needs, the frozen parts included.

    `state` replaces the model's own tensors where an engine has sharded them; it has the same keys.
    """
    state = model.state_dict() if state is None else state
    assert set(state) == set(model.state_dict()), "the state is not one of this model"
    spec = model.spec
    folder.mkdir(parents=True, exist_ok=True)
    save_file(storable(state), folder / WEIGHTS)
    spec.tokenizer.save(folder / TOKENIZER)
    description = ModelDescription(
        FORMAT, spec.kind, spec.inputs, spec.image_size, spec.max_tokens, spec.config
    )
    configs.dump(description, folder / DESCRIPTION)


def load_model(folder: Path) -> LoadedModel:
    """Read a model that `save_model` wrote, in evaluation mode on the CPU; needs no other file, no network.

    Raises `CheckpointError` that names the folder when it is missing, damaged or of a newer format.
    """
    description = _read_description(folder)
    try:
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        encoder = build_dual_encoder(
            description.model, description.image_size, tokenizer, description.max_tokens
        )
    except UserError as error:
        raise CheckpointError(f"model folder {folder} is damaged: {error}") from error
    model = Classifier(encoder, description.inputs) if description.kind == "classifier" else encoder
    load_weights(model, folder)
    return LoadedModel(model.eval())


def load_weights(model: DualEncoder | Classifier, folder: Path) -> None:
    """Copy the weights of a model folder into a model that was built from a config of the same shape.

    Raises `CheckpointError` that names the folder and the first tensors that do not fit.
    """
    path = folder / WEIGHTS
    try:
        state = read_weights(path, "The folder must be one that was saved as a model")
    except UserError as error:
        raise CheckpointError(f"model folder {folder} is damaged: {error}") from error
    load_strictly(model, state, f"the weights of {folder}", CheckpointError)


def _read_description(folder: Path) -> ModelDescription:
    if not (folder / DESCRIPTION).is_file():
        raise CheckpointError(f"{folder} is not a model folder: it has no {DESCRIPTION}")
    try:
        description = configs.load(ModelDescription, folder / DESCRIPTION)
    except UserError as error:
        raise CheckpointError(f"model folder {folder} is damaged: {error}") from error
    if description.format > FORMAT:
        raise CheckpointError(
            f"model folder {folder} has format {description.format}, this version reads up to {FORMAT}: "
            "install a newer mmfm"
        )
    return description


def _self_contained(config: ModelConfig, text: PreTrainedConfig) -> ModelConfig:
    """The config without paths: the same shapes, to be filled with saved weights."""
    own = copy.deepcopy(config)
    own.preset = ""
    own.image.weights = ""
    own.text.name = ""
    own.text.tokenizer = ""
    own.text.config = values_of(text)
    return own
