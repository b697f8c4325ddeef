"""Classification of lesions from the image, the note or both, on the towers of a dual encoder."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mmfm.models.dual import DualEncoder
from mmfm.taxonomy import CLASSES


class Classifier(nn.Module):
    """One linear classifier on the pooled features of each modality used.

    `both` fuses late, by the mean of the two classifiers' logits: each modality's share of the decision stays
    readable. A tower that is not needed is not kept, so that no parameter is left without a gradient.
    """

    def __init__(self, encoder: DualEncoder, inputs: str) -> None:
        super().__init__()
        assert inputs in ("image", "note", "both"), inputs
        self.spec = replace(encoder.spec, kind="classifier", inputs=inputs)
        self.image = encoder.image if inputs in ("image", "both") else None
        self.text = encoder.text if inputs in ("note", "both") else None
        self.image_classifier = nn.Linear(encoder.image.width, len(CLASSES)) if self.image else None
        self.text_classifier = nn.Linear(encoder.text.width, len(CLASSES)) if self.text else None

    def freeze_towers(self) -> None:
        """Train the linear classifiers alone from now on."""
        for tower in (self.image, self.text):
            if tower is not None:
                tower.freeze()

    def forward(
        self,
        images: Tensor | None = None,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        text_features: Tensor | None = None,
    ) -> Tensor:
        """Logits (b, 8) float32 over `taxonomy.CLASSES`. What the classifier does not look at may be absent.

        images (b, 3, H, W); tokens and mask (b, T), or text_features (b, text width) of a frozen tower.
        """
        logits: list[Tensor] = []
        if self.image is not None and self.image_classifier is not None:
            assert images is not None, "the classifier needs images"
            logits.append(_apply(self.image_classifier, self.image(images)))
        if self.text is not None and self.text_classifier is not None:
            if text_features is None:
                assert tokens is not None and mask is not None, "the classifier needs notes"
                text_features = self.text(tokens, mask)
            logits.append(_apply(self.text_classifier, text_features))
        return torch.stack(logits).mean(dim=0)


def _apply(classifier: nn.Linear, features: Tensor) -> Tensor:
    logits: Tensor = classifier(features.to(classifier.weight.dtype))
    return logits.float()
