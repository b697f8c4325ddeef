"""From the values of `model.text.config` to a transformers config, refusing keys that it does not know."""

from __future__ import annotations

import difflib
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from mmfm.errors import ConfigError

NOT_SHAPE = {  # keys of a config that say nothing of how the encoder computes
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
}


def config_from_values(values: dict[str, Any]) -> PreTrainedConfig:
    """Build the config of `values["model_type"]` with the other values.

    Raises `ConfigError` for a missing or unknown model_type, unknown keys and values that do not go together.
    """
    rest = {key: value for key, value in values.items() if key != "model_type"}
    model_type = values.get("model_type")
    if not model_type:
        raise ConfigError("model.text.config.model_type is not set: bert, distilbert, roberta, ...")
    try:
        known = _keys(AutoConfig.for_model(model_type))
    except ValueError as error:
        raise ConfigError(
            f"model.text.config.model_type={model_type!r} is not a model of transformers"
        ) from error
    for key in rest:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"unknown key model.text.config.{key} for {model_type}.{hint}")
    try:
        return AutoConfig.for_model(model_type, **rest)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.text.config: {error}") from error


def values_of(config: PreTrainedConfig) -> dict[str, Any]:
    """What `config_from_values` needs to build `config` again."""
    known = _keys(type(config)()) - NOT_SHAPE
    return {key: value for key, value in config.to_dict().items() if key in known and value is not None}


def _keys(config: PreTrainedConfig) -> set[str]:
    return set(config.to_dict()) | set(config.attribute_map)
