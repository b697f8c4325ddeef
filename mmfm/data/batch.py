"""One micro-batch of training samples, as the model takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from mmfm.data.augment import ImageChanges, augment_batch


@dataclass
class Batch:
    """Samples side by side; b of them.

    images: uint8 (b, 3, H, W), in channels-last memory
    tokens, mask: int64 (b, T), T the longest note of the batch; None when `text_features` are there
    text_features: float32 (b, D) pooled output of a frozen text tower, else None
    labels: int64 (b,), -1 for unknown
    keys: keys of the samples; positions: int64 (b,), their positions in the endless order
    changes: flips and colour that are still to be applied to `images`; `to` applies them on the device
    """

    images: torch.Tensor
    tokens: torch.Tensor | None
    mask: torch.Tensor | None
    text_features: torch.Tensor | None
    labels: torch.Tensor
    keys: list[str]
    positions: np.ndarray
    changes: ImageChanges | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def inputs(self) -> dict[str, torch.Tensor | None]:
        """What models take, by the names of their arguments."""
        return {
            "images": self.images,
            "tokens": self.tokens,
            "mask": self.mask,
            "text_features": self.text_features,
        }

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`, with what was left of the augmentation applied there."""
        images = self.images.to(device, non_blocking=True)
        if self.changes is not None:
            images = augment_batch(images, self.changes)
        return replace(
            self,
            images=images,
            tokens=_move(self.tokens, device),
            mask=_move(self.mask, device),
            text_features=_move(self.text_features, device),
            labels=self.labels.to(device, non_blocking=True),
            changes=None,
        )


def _move(tensor: torch.Tensor | None, device: torch.device | str) -> torch.Tensor | None:
    return None if tensor is None else tensor.to(device, non_blocking=True)
