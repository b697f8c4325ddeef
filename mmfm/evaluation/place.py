"""Which model an evaluation measures, and where its results go. Loads nothing that takes long."""

from __future__ import annotations

from pathlib import Path

from mmfm.config.schema import EvaluateConfig
from mmfm.errors import CheckpointError
from mmfm.training.checkpoint import folder_name, newest_checkpoint, read_position

DESCRIPTION = "model.yaml"  # as in mmfm.models.build, which takes seconds to load


def find_model(checkpoint: str) -> tuple[Path, int]:
    """The model folder of a run, a checkpoint or a model folder, and its step (0 if nothing tells).

    Raises `CheckpointError` naming the folder when there is none.
    """
    folder = Path(checkpoint)
    if (folder / DESCRIPTION).is_file():
        try:
            return folder, read_position(folder.parent).step
        except CheckpointError:  # a model folder by itself
            return folder, 0
    found = newest_checkpoint(folder)
    return found / "model", read_position(found).step


def pin_checkpoint(config: EvaluateConfig) -> None:
    """Replace a run as `config.checkpoint` by its newest checkpoint. Raises `CheckpointError`."""
    folder, _ = find_model(config.checkpoint)
    config.checkpoint = str(folder)


def suite_path(config: EvaluateConfig, step: int, suite: str) -> Path:
    """The file that holds the results of `suite` on the checkpoint of `step`."""
    return Path(config.run.root) / config.run.name / "evals" / folder_name(step) / f"{suite}.json"


def suite_paths(config: EvaluateConfig) -> list[Path]:
    """The files that an evaluation of the checkpoint as it is now writes.

    Raises `CheckpointError` when there is no such checkpoint.
    """
    _, step = find_model(config.checkpoint)
    return [suite_path(config, step, suite) for suite in config.suites]
