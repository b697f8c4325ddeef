"""What a training run will need: room for its checkpoints, and time from one of them to the next."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from mmfm.config import load
from mmfm.config.schema import FinetuneConfig, PretrainConfig, TrainConfig
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.runfolder import RunFolder

GB = 1e9
FLOAT, HALF = 4, 2  # bytes of a number
MOMENTS = 2 * FLOAT  # of AdamW, for each parameter that is trained


@dataclass(frozen=True)
class Room:
    """What the checkpoints of a run take when it is done, beyond what is there already. In bytes."""

    each: int
    kept: int  # checkpoints that stay: the newest, as of checkpoint.keep, and the milestones before them
    present: int
    free: int

    @property
    def wanted(self) -> int:
        """Bytes still to be written at most: all that are kept, and the one that is being saved."""
        return max(0, self.each * (self.kept + 1) - self.present)


def room(config: PretrainConfig) -> Room:
    """The room for the run's checkpoints, by its newest one or else by the size of its model.

    Raises `ConfigError`, `DataError` or `CheckpointError` for a model that cannot be built.
    """
    checkpoints = RunFolder.of(config.run).checkpoints
    there = sorted(checkpoints.glob("step_*"))
    each = folder_bytes(there[-1]) if there else checkpoint_bytes(config)
    every = config.checkpoint.keep_every
    milestones = (config.train.steps - 1) // every if every else 0  # the last step is among the newest
    free = shutil.disk_usage(existing(checkpoints)).free
    return Room(each, config.checkpoint.keep + milestones, folder_bytes(checkpoints), free)


def checkpoint_bytes(config: PretrainConfig) -> int:
    """Size of one checkpoint: the model folder, and DeepSpeed's state of what is trained.

    Raises as `room`.
    """
    size = _model_size(config)
    return size[0] * width(config.train) + size[1] * state_width(config.train)


def width(train: TrainConfig) -> int:
    """Bytes of one weight in the model folder."""
    return HALF if train.precision == "bf16" else FLOAT


def state_width(train: TrainConfig) -> int:
    """Bytes of DeepSpeed's state for each trained parameter: moments, weights, and perhaps those in fp32."""
    plain = 0 if train.zero_stage == 3 else width(train)
    master = FLOAT if train.zero_stage > 0 or train.precision == "bf16" else 0
    return MOMENTS + plain + master


def _model_size(config: PretrainConfig) -> tuple[int, int]:
    """Parameters of the run's model, in all and trained."""
    from mmfm.models.build import ModelDescription
    from mmfm.models.size import classifier_size, dual_size

    model, image_size, max_tokens = config.model, config.data.image_size, config.data.max_tokens
    if config.init:
        folder = newest_checkpoint(config.init) / "model"
        given = load(ModelDescription, folder / "model.yaml")
        model, image_size, max_tokens = given.model, given.image_size, given.max_tokens
        model.text.tokenizer = str(folder)
    if isinstance(config, FinetuneConfig):
        task = config.task
        size = classifier_size(model, image_size, max_tokens, task.inputs, task.freeze_towers)
    else:
        size = dual_size(model, image_size, max_tokens)
    return size.parameters, size.trained


def step_seconds(run: RunFolder, global_batch: int) -> float | None:
    """Seconds of a step, by the newest line of the run's metrics; None where it has none yet."""
    lines = run.metrics.read_text().splitlines() if run.metrics.exists() else []
    for text in reversed(lines):
        try:
            return global_batch / float(json.loads(text)["samples_per_s"])
        except (ValueError, KeyError, ZeroDivisionError):
            continue  # cut short by a kill
    return None


def newest_step(run: RunFolder) -> int:
    """The step of the run's newest checkpoint, whole or not; 0 before the first."""
    steps = [int(path.name.removeprefix("step_")) for path in run.checkpoints.glob("step_" + "[0-9]" * 8)]
    return max(steps, default=0)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`, 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
