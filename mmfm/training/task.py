"""What is trained: a task brings the model, its data stream and the loss of a list of micro-batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfm import distributed
from mmfm.config.schema import FinetuneConfig, PretrainConfig
from mmfm.data.batch import Batch
from mmfm.data.batching import Batching
from mmfm.data.index import CorruptSample, Split
from mmfm.data.mixtures import expand
from mmfm.data.stream import TrainStream, open_stream
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError
from mmfm.losses.cached import cached_surrogates
from mmfm.losses.contrastive import clip_loss
from mmfm.models.build import build_dual_encoder, load_model, save_model
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.models.text import TextTower, load_tokenizer
from mmfm.models.textconfig import values_of
from mmfm.progress import say
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.engine import Term, run_on_first_rank
from mmfm.training.runfolder import RunFolder

Forward = Callable[..., Any]
FirstRank = Callable[[Callable[[Callable[[], None]], None]], None]  # as `Startup.on_first_rank`


class Task(Protocol):
    """A model with the loss that trains it."""

    @property
    def model(self) -> nn.Module:
        """The module to train."""
        ...

    def open_stream(self, batching: Batching, device: torch.device, first: FirstRank) -> TrainStream:
        """The training batches. Collective: rank 0 builds the caches that are missing, by way of `first`."""
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
    """Image and note of one sample attract, all others of the global batch repel.

    `found` is the run's own checkpoint to go on from, if there is one: its model stands in for what the run
    once started from, so that moved or changed weights elsewhere do not matter.
    """

    def __init__(self, config: PretrainConfig, folder: RunFolder, found: Path | None) -> None:
        self.model = own_model(found, DualEncoder) if found else initial_towers(config, folder)
        self._config = config
        self._scale = torch.tensor(float("nan"))

    def open_stream(self, batching: Batching, device: torch.device, first: FirstRank) -> TrainStream:
        tokenizer = self.model.spec.tokenizer
        return open_shared_stream(self._config, tokenizer, self.model.text, batching, device, first)

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """The contrast is over the global batch, however it is cut: micro-batches share their features."""

        def features(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
            output: tuple[Tensor, Tensor, Tensor] = forward(**batch.inputs())
            self._scale = output[2].detach()  # the parameter itself is not whole at ZeRO stage 3
            return output

        loss, surrogates = cached_surrogates(features, batches, clip_loss)
        for surrogate in surrogates:
            yield surrogate * len(batches), loss  # the engine divides by the number of micro-batches

    def scalars(self) -> dict[str, float]:
        return {"scale": float(self._scale)}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


class ClassifyTask:
    """Eight-way classification of images, notes or both by cross-entropy. `found` as in `ContrastiveTask`."""

    def __init__(self, config: FinetuneConfig, folder: RunFolder, found: Path | None) -> None:
        if found:
            self.model = own_model(found, Classifier)
        else:
            self.model = Classifier(initial_towers(config, folder), config.task.inputs)
        if config.task.freeze_towers:
            self.model.freeze_towers()
        self._config = config
        self._right: list[Tensor] = []

    def open_stream(self, batching: Batching, device: torch.device, first: FirstRank) -> TrainStream:
        tokenizer = self.model.spec.tokenizer if self.model.text is not None else None
        text = self.model.text
        return open_shared_stream(self._config, tokenizer, text, batching, device, first, labelled=True)

    def terms(self, forward: Forward, batches: list[Batch]) -> Iterator[Term]:
        """Mean cross-entropy over the samples of each micro-batch."""
        self._right = []
        for batch in batches:
            logits = forward(**batch.inputs())
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self._config.task.label_smoothing)
            self._right.append((logits.argmax(dim=1) == batch.labels).double().mean())
            yield loss, loss.detach()

    def scalars(self) -> dict[str, float]:
        return {"train_accuracy": float(torch.stack(self._right).mean())}

    def save_model(self, folder: Path, state: dict[str, Tensor] | None) -> None:
        save_model(folder, self.model, state)


Model = TypeVar("Model", DualEncoder, Classifier)


def own_model(checkpoint: Path, kind: type[Model]) -> Model:
    """The model of the run's own checkpoint. The engine puts the exact weights into its trained parts."""
    model = load_model(checkpoint / "model").model.train()
    assert isinstance(model, kind), f"{checkpoint} holds a {type(model).__name__}"
    return model


def initial_towers(config: PretrainConfig, folder: RunFolder) -> DualEncoder:
    """The two towers that a run starts from: those of `config.init`, or built from `config.model`."""
    if config.init:
        return pretrained_towers(config)
    tokenizer = run_tokenizer(config, folder)
    return build_dual_encoder(config.model, config.data.image_size, tokenizer, config.data.max_tokens)


def pretrained_towers(config: PretrainConfig) -> DualEncoder:
    """The towers of the checkpoint that `config.init` names; its model settings go before the recipe's.

    Raises `ConfigError` where the checkpoint holds a classifier, or sees images or notes of another size.
    """
    checkpoint = newest_checkpoint(config.init)
    towers = load_model(checkpoint / "model").model
    if not isinstance(towers, DualEncoder):
        raise ConfigError(f"init={config.init} is a fine-tuned classifier: give a pretraining run")
    for key in ("image_size", "max_tokens"):
        theirs, ours = getattr(towers.spec, key), getattr(config.data, key)
        if theirs != ours:
            raise ConfigError(f"{checkpoint} was trained with data.{key}={theirs}, not {ours}: set it so")
    if distributed.rank() == 0:
        say(f"starting from the towers of {checkpoint}; the `model` settings of the recipe are not used")
    return towers.train()


def run_tokenizer(config: PretrainConfig, folder: RunFolder) -> Tokenizer:
    """The tokenizer of a run, fitted or loaded once by rank 0 and kept in the run folder."""

    def settle() -> None:
        if not folder.tokenizer.exists():
            load_tokenizer(config.model.text, lambda: all_notes(config)).save(folder.tokenizer)

    run_on_first_rank(settle)
    return Tokenizer.load(folder.tokenizer)


def all_notes(config: PretrainConfig) -> Iterator[str]:
    """Every readable note of the training split in the strategies of the recipe, to fit a tokenizer on."""
    with closing(Split.open(Path(config.data.shards), config.data.split)) as split:
        names = expand(config.data.notes, split.manifest.notes)
        for sample in range(len(split)):
            try:
                notes = split.read_record(sample).notes
            except CorruptSample:
                continue  # the stream counts and bounds them
            yield from (notes[name].text for name in names if name in notes)


def open_shared_stream(
    config: PretrainConfig,
    tokenizer: Tokenizer | None,
    text: TextTower | None,
    batching: Batching,
    device: torch.device,
    first: FirstRank,
    labelled: bool = False,
) -> TrainStream:
    """Open the training stream on every rank, rank 0 `first`: it builds the caches that are missing.

    Without a tokenizer the batches have no notes; a frozen text tower is replaced by its cached output.
    Call it before the engine shards the model: here the tower must be whole.
    """

    frozen = text if text is not None and text.frozen else None

    key = tower_digest(frozen.to(device)) if frozen else ""

    def open_it(tick: Callable[[], None] = lambda: None) -> TrainStream:
        return open_stream(
            config.data,
            tokenizer,
            batching,
            config.train.seed,
            encode=frozen.encode_pooled if frozen else None,
            encode_key=key,
            device=device,
            labelled=labelled,
            tick=tick,
        )

    first(lambda tick: open_it(tick).close())
    stream = open_it()
    if batching.global_batch > stream.epoch_length:
        raise ConfigError(
            f"train.global_batch={batching.global_batch} is more than the {stream.epoch_length} samples of "
            f"an epoch of {config.data.split!r}: they would meet themselves in one batch"
        )
    return stream


def tower_digest(tower: TextTower) -> str:
    """Digest of a tower's tensors, config and pooling: what determines its output."""
    settings = {"pooling": tower.pooling, "config": values_of(tower.body.config)}
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=16)
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
