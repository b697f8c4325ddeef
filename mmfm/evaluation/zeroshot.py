"""Zero-shot classification: the class whose prompts lie nearest to the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from mmfm.errors import ConfigError
from mmfm.taxonomy import CLASSES, LesionClass

FIELDS = ("name", "code", "malignancy")


def fill_prompts(templates: Sequence[str], classes: Sequence[LesionClass] = CLASSES) -> list[list[str]]:
    """The prompts of each class: one for each template.

    Raises `ConfigError` naming a template that is malformed, has an unknown field, or names no class.
    """
    if not templates:
        raise ConfigError("prompts is empty: give at least one template, such as 'A skin lesion: {name}.'")
    return [[_fill(template, lesion) for template in templates] for lesion in classes]


def prompt_embeddings(embedded: torch.Tensor) -> torch.Tensor:
    """One unit vector per class, (c, d), from the embeddings of its prompts, (c, templates, d).

    Each prompt weighs the same: it is normalised before the mean, and the mean again.
    """
    return normalize(normalize(embedded, dim=-1).mean(dim=1), dim=-1)


def classify_by_prompt(images: torch.Tensor, prompts: torch.Tensor, candidates: np.ndarray) -> np.ndarray:
    """Class of each image, (n,) int64, among `candidates`, by the greatest cosine.

    `images`: (n, d) unit vectors. `prompts`: (classes, d) unit vectors. `candidates`: class numbers.
    """
    nearest = (images @ prompts[torch.from_numpy(candidates)].T).argmax(dim=1)
    return np.asarray(candidates[nearest.numpy()], dtype=np.int64)


def _fill(template: str, lesion: LesionClass) -> str:
    values = {field: getattr(lesion, field) for field in FIELDS}
    try:
        text = template.format(**values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        valid = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise ConfigError(f"prompt template {template!r} cannot be filled ({error}): use {valid}") from error
    if not any(f"{{{field}}}" in template for field in FIELDS):
        raise ConfigError(f"prompt template {template!r} is the same for every class: it needs {{name}}")
    return text
