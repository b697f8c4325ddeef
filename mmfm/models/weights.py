"""Weights from local files, checked key by key. Nothing is ever downloaded or silently left at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mmfm.errors import DataError, UserError

SHOWN = 3  # keys named in a message about a mismatch


def read_weights(path: Path, hint: str) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or of a PyTorch file that holds only tensors.

    `hint` says where to get the file. Raises `DataError` when it is missing or is no such file.
    """
    if not path.is_file():
        raise DataError(f"weights {path} not found. {hint}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return _tensors(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # each format has a family of its own
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"cannot read weights {path}: {first_line}") from error


def load_strictly(model: nn.Module, state: dict[str, Tensor], what: str, error: type[UserError]) -> None:
    """Copy `state` into `model`. Raises `error` that names the first keys that do not fit."""
    own = model.state_dict()
    problems = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    found = [f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in problems.items() if keys]
    if found:
        raise error(f"{what} do not fit the model. Tensors {'; '.join(found)}")
    model.load_state_dict(state)


def storable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as safetensors takes it: on the CPU, contiguous, no two tensors in one storage."""
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        address = tensor.untyped_storage().data_ptr()
        stored[key] = tensor.clone() if address in seen else tensor
        seen.add(address)
    return stored


def _tensors(loaded: Any) -> dict[str, Tensor]:
    """The state dict inside a PyTorch file: plain, or below one of the usual keys."""
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError("it holds no dictionary of tensors")
    return {key.removeprefix("module."): value for key, value in loaded.items()}


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
