"""What is trained: a task brings the model, its data stream and the loss of a list of micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfm import distributed
from mmfm.config.schema import FinetuneConfig, PretrainConfig
from mmfm.data.batch import Batch
from mmfm.data.index import Split
from mmfm.data.stream import Batching, TrainStream, open_stream
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError, DataError
from mmfm.losses.cached import cached_surrogates
from mmfm.losses.contrastive import clip_loss
from mmfm.models.build import build_dual_encoder, load_model, save_model
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.models.text import load_tokenizer
from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.engine import Term, run_on_first_rank
from mmfm.training.runfolder import RunFolder

Forward = Callable[..., Any]


class Task(Protocol):
    """A model with the loss that trains it."""

    model: nn.Module

    def open_stream(self, batching: Batching, device: torch.device) -> TrainStream:
        """The training batches. Collective: rank 0 builds the caches that are missing."""
        ...

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """One (term to run backward on, loss to report) per micro-batch; the engine averages the terms."""
        ...

    def scalars(self) -> dict[str, float]:
        """Further values to log."""
        ...

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        """Write the model for evaluation and fine-tuning."""
        ...


class ContrastiveTask:
    """Image and note of one sample attract, all others of the global batch repel."""

    def __init__(self, config: PretrainConfig, folder: RunFolder) -> None:
        self._config = config
        self.model = initial_towers(config, folder)

    def open_stream(self, batching: Batching, device: torch.device) -> TrainStream:
        return stream_for(self._config, self.model, batching, device)

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """The contrast is over the global batch, however it is cut: micro-batches share their features."""
        if len(batches) == 1:
            loss = clip_loss(*forward(**batches[0].inputs()))
            yield loss, loss
            return
        total, surrogates = cached_surrogates(lambda batch: forward(**batch.inputs()), batches, clip_loss)
        for surrogate in surrogates:
            yield surrogate * len(batches), total  # the engine divides by the number of micro-batches

    def scalars(self) -> dict[str, float]:
        return {"scale": self.model.current_scale()}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


class ClassifyTask:
    """Eight-way classification of images, notes or both by cross-entropy."""

    def __init__(self, config: FinetuneConfig, folder: RunFolder) -> None:
        self._config = config
        towers = initial_towers(config, folder)
        self.model = Classifier(towers, config.task.inputs, len(CLASSES), config.task.freeze_towers)
        self._accuracy = float("nan")

    def open_stream(self, batching: Batching, device: torch.device) -> TrainStream:
        return stream_for(
            self._config, self.model.towers, batching, device, notes=self._config.task.inputs != "image"
        )

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """Mean cross-entropy over the labelled samples of each micro-batch."""
        right = []
        for batch in batches:
            logits = forward(**batch.inputs()).float()
            loss = F.cross_entropy(
                logits,
                batch.labels,
                ignore_index=UNKNOWN_LABEL,
                label_smoothing=self._config.task.label_smoothing,
            )
            right.append((logits.argmax(dim=1) == batch.labels).double().mean())
            yield loss, loss
        self._accuracy = float(torch.stack(right).mean())

    def scalars(self) -> dict[str, float]:
        return {"train_accuracy": self._accuracy}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


def initial_towers(config: PretrainConfig, folder: RunFolder) -> DualEncoder:
    """The two towers that a run starts from: those of `config.init`, or built from `config.model`."""
    if config.init:
        return pretrained_towers(config)
    tokenizer = run_tokenizer(config, folder)
    return build_dual_encoder(config.model, config.data.image_size, tokenizer, config.data.max_tokens)


def pretrained_towers(config: PretrainConfig) -> DualEncoder:
    """The towers of the checkpoint that `config.init` names; its model settings go before the recipe's.

    Raises `ConfigError` where the checkpoint sees images of another size.
    """
    checkpoint = newest_checkpoint(config.init)
    model = load_model(checkpoint / "model").model
    towers = model.towers if isinstance(model, Classifier) else model
    if towers.spec.image_size != config.data.image_size:
        raise ConfigError(
            f"{checkpoint} was trained on images of {towers.spec.image_size} pixels, data.image_size is "
            f"{config.data.image_size}: set it to {towers.spec.image_size}"
        )
    return towers


def run_tokenizer(config: PretrainConfig, folder: RunFolder) -> Tokenizer:
    """The tokenizer of a run, fitted or loaded once by rank 0 and kept in the run folder."""

    def settle() -> None:
        if not folder.tokenizer.exists():
            load_tokenizer(config.model.text, lambda: all_notes(config)).save(folder.tokenizer)

    run_on_first_rank(settle)
    return Tokenizer.load(folder.tokenizer)


def all_notes(config: PretrainConfig) -> Iterator[str]:
    """Every note of the training split in the strategies of the recipe, to fit a tokenizer on."""
    split = Split.open(Path(config.data.shards), config.data.split)
    for sample in range(len(split)):
        notes = split.read_record(sample).notes
        yield from (notes[name].text for name in config.data.notes if name in notes)


def stream_for(
    config: PretrainConfig, towers: DualEncoder, batching: Batching, device: torch.device, notes: bool = True
) -> TrainStream:
    """Open the training stream; a frozen text tower is read from its cache, which rank 0 builds first."""
    frozen = config.model.text.freeze or towers.spec.config.text.freeze

    def open_it() -> TrainStream:
        return open_stream(
            config.data,
            towers.spec.tokenizer if notes else None,
            batching,
            config.train.seed,
            encode=towers.encode_text_pooled if frozen and notes else None,
            encode_key=towers.text_fingerprint() if frozen and notes else "",
            device=device,
        )

    if distributed.rank() == 0:
        run_on_first_rank(lambda: open_it().close())
    else:
        run_on_first_rank(lambda: None)
    stream = open_it()
    if stream.epoch_length < 1:
        raise DataError(f"split {config.data.split!r} of {config.data.shards} is empty")
    return stream
