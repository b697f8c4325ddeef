"""The contrastive objective of CLIP over the global batch of all ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional

from mmfm.distributed import gather_with_grad, rank


def clip_loss(image: Tensor, text: Tensor, scale: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Symmetric cross entropy of matching each image with its note and each note with its image.

    image, text: (b, d) float, L2-normalised rows of this rank, row i of both from one sample; b must be the
    same on every rank. scale: (1,) or 0-dim, the inverse temperature.

    Returns this rank's share, 0-dim: its b rows against all world * b candidates. The mean of the shares
    over the ranks is the loss of the global batch, and so is the mean of their parameter gradients (DDP and
    DeepSpeed average). Memory is b x (world * b).
    """
    assert image.shape == text.shape and image.dim() == 2, f"{tuple(image.shape)} and {tuple(text.shape)}"
    width = image.shape[1]
    # One collective for both modalities.
    everything = gather_with_grad(torch.cat([image, text], dim=1), group)
    all_images, all_texts = everything.split(width, dim=1)
    own = torch.arange(image.shape[0], device=image.device) + rank(group) * image.shape[0]
    image_to_text = functional.cross_entropy(scale * image @ all_texts.T, own)
    text_to_image = functional.cross_entropy(scale * text @ all_images.T, own)
    return (image_to_text + text_to_image) / 2
