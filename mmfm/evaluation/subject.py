"""What is evaluated: a model, the shards it is measured on, and features computed once for all suites."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from mmfm.config.schema import EvaluateConfig
from mmfm.data.index import Split
from mmfm.data.manifest import Manifest
from mmfm.evaluation.bootstrap import Bootstrap
from mmfm.evaluation.features import Compute, Features, Reading, choose_samples, compute_features, tokenize
from mmfm.evaluation.results import Slice
from mmfm.evaluation.slices import find_slices
from mmfm.models.build import LoadedModel
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.records import Record
from mmfm.taxonomy import UNKNOWN_LABEL

EMBEDDING = "embedding"  # in the shared space, unit length
POOLED = "pooled"  # output of the image tower, before projection
LOGITS = "logits"


class Subject:
    """A loaded model on a device, with the shards and settings of one evaluation. Computes in float32."""

    def __init__(self, config: EvaluateConfig, loaded: LoadedModel) -> None:
        self.config = config
        self.loaded = loaded
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.manifest = Manifest.read(config.shards)
        loaded.model.to(self.device).float().eval()
        self._reading = Reading(loaded.image_size, config.batch, config.workers)
        self._encoded: dict[str, Features] = {}

    def encoded(self, split: str) -> Features:
        """Image features of a split by the two-tower model: `EMBEDDING` and `POOLED`."""
        if split not in self._encoded:
            self._encoded[split] = self._compute(split, self._encode)
        return self._encoded[split]

    def classified(self, split: str) -> Features:
        """`LOGITS` of a split by the classifier. Where it reads notes, a missing one is read as empty."""
        return self._compute(split, self._classify)

    def slices(self, features: Features) -> Iterator[tuple[Slice, Features]]:
        """The slices of `features` by dataset and domain."""
        for part, rows in find_slices(features.records, self.manifest):
            yield part, features.take(rows)

    def bootstrap(self, features: Features) -> Bootstrap:
        """Resamples of the patients and lesions of `features`."""
        return Bootstrap(features.groups, self.config.bootstrap, self.config.seed)

    def has_note(self, record: Record) -> bool:
        """Whether a record has a note, not empty, of the strategy evaluated."""
        note = record.notes.get(self.config.note)
        return note is not None and bool(note.text.strip())

    def _compute(self, split: str, compute: Compute) -> Features:
        opened = Split.open(self.config.shards, split)
        samples = choose_samples(opened, self.config.max_samples, self.config.seed)
        return compute_features(opened, samples, self._reading, compute, self.device)

    def _encode(self, images: torch.Tensor, _: list[Record]) -> dict[str, torch.Tensor]:
        model = self.loaded.model
        assert isinstance(model, DualEncoder)
        pooled = model.image(images)
        return {POOLED: pooled, EMBEDDING: model.encode_image_features(pooled)}

    def _classify(self, images: torch.Tensor, records: list[Record]) -> dict[str, torch.Tensor]:
        model = self.loaded.model
        assert isinstance(model, Classifier)
        if self.loaded.inputs == "image":
            return {LOGITS: model(images)}
        texts = [record.notes[self.config.note].text if self.has_note(record) else "" for record in records]
        tokens, mask = tokenize(texts, self.loaded.tokenizer, self.loaded.max_tokens)
        return {LOGITS: model(images, tokens.to(self.device), mask.to(self.device))}


def with_label(features: Features) -> Features:
    """The rows whose class is known."""
    return features.take(np.flatnonzero(features.labels != UNKNOWN_LABEL))
