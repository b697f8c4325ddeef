"""What is trained: a task brings the model, its data stream and the loss of a list of micro-batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfm.config.schema import FinetuneConfig, PretrainConfig
from mmfm.data.batch import Batch
from mmfm.data.batching import Batching
from mmfm.data.index import Split
from mmfm.data.stream import TrainStream, open_stream
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError
from mmfm.losses.cached import cached_surrogates
from mmfm.losses.contrastive import clip_loss
from mmfm.models.build import build_dual_encoder, load_model, save_model
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.models.text import TextTower, load_tokenizer
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.engine import Term, run_on_first_rank
from mmfm.training.runfolder import RunFolder

Forward = Callable[..., Any]


class Task(Protocol):
    """A model with the loss that trains it."""

    @property
    def model(self) -> nn.Module:
        """The module to train."""
        ...

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
        self.model = initial_towers(config, folder)
        self._config = config
        self._scale = float("nan")

    def open_stream(self, batching: Batching, device: torch.device) -> TrainStream:
        return open_shared_stream(self._config, self.model.spec.tokenizer, self.model.text, batching, device)

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """The contrast is over the global batch, however it is cut: micro-batches share their features."""

        def features(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            output: tuple[Tensor, Tensor, Tensor] = forward(**model_inputs(batch))
            self._scale = output[2].item()  # only here is it whole at ZeRO stage 3
            return output

        loss, surrogates = cached_surrogates(features, batches, clip_loss)
        for surrogate in surrogates:
            yield surrogate * len(batches), loss  # the engine divides by the number of micro-batches

    def scalars(self) -> dict[str, float]:
        return {"scale": self._scale}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


class ClassifyTask:
    """Eight-way classification of images, notes or both by cross-entropy."""

    def __init__(self, config: FinetuneConfig, folder: RunFolder) -> None:
        towers = initial_towers(config, folder)
        self.model = Classifier(towers, config.task.inputs, config.task.freeze_towers)
        self._config = config
        self._accuracy = float("nan")

    def open_stream(self, batching: Batching, device: torch.device) -> TrainStream:
        tokenizer = self.model.spec.tokenizer if self.model.text is not None else None
        return open_shared_stream(self._config, tokenizer, self.model.text, batching, device, labelled=True)

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """Mean cross-entropy over the samples of each micro-batch."""
        right = []
        for batch in batches:
            logits = forward(**model_inputs(batch))
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self._config.task.label_smoothing)
            right.append((logits.argmax(dim=1) == batch.labels).double().mean())
            yield loss, loss.detach()
        self._accuracy = float(torch.stack(right).mean())

    def scalars(self) -> dict[str, float]:
        return {"train_accuracy": self._accuracy}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


def model_inputs(batch: Batch) -> dict[str, Tensor | None]:
    """What a model's forward takes of a batch."""
    return {
        "images": batch.images,
        "tokens": batch.tokens,
        "mask": batch.mask,
        "text_features": batch.text_features,
    }


def initial_towers(config: PretrainConfig, folder: RunFolder) -> DualEncoder:
    """The two towers that a run starts from: those of `config.init`, or built from `config.model`."""
    if config.init:
        return pretrained_towers(config)
    tokenizer = run_tokenizer(config, folder)
    return build_dual_encoder(config.model, config.data.image_size, tokenizer, config.data.max_tokens)


def pretrained_towers(config: PretrainConfig) -> DualEncoder:
    """The towers of the checkpoint that `config.init` names; its model settings go before the recipe's.

    Raises `ConfigError` where the checkpoint holds a classifier or sees images of another size.
    """
    checkpoint = newest_checkpoint(config.init)
    towers = load_model(checkpoint / "model").model
    if not isinstance(towers, DualEncoder):
        raise ConfigError(f"init={config.init} is a fine-tuned classifier: give a pretraining run")
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


def open_shared_stream(
    config: PretrainConfig,
    tokenizer: Tokenizer | None,
    text: TextTower | None,
    batching: Batching,
    device: torch.device,
    labelled: bool = False,
) -> TrainStream:
    """Open the training stream on every rank, rank 0 first: it builds the caches that are missing.

    Without a tokenizer the batches have no notes; a frozen text tower is replaced by its cached output.
    """

    frozen = text if text is not None and text.frozen else None

    def open_it() -> TrainStream:
        return open_stream(
            config.data,
            tokenizer,
            batching,
            config.train.seed,
            encode=frozen.encode_pooled if frozen else None,
            encode_key=weights_digest(frozen) if frozen else "",
            device=device,
            labelled=labelled,
        )

    run_on_first_rank(lambda: open_it().close())
    return open_it()


def weights_digest(module: nn.Module) -> str:
    """Digest of a module's tensors: what identifies the output of a frozen tower."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
