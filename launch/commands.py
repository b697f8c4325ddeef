"""What each command runs, with which config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launch.job import Job, resolve
from launch.overrides import expand_cluster
from mmfm.config import load
from mmfm.config.load import require

SCHEMAS = {
    "pretrain": "mmfm.config.schema:PretrainConfig",
    "finetune": "mmfm.config.schema:FinetuneConfig",
    "evaluate": "mmfm.config.schema:EvaluateConfig",
    "data shard": "data_tools.config:ShardsConfig",
    "data demo": "launch.config:DemoDataConfig",
    "report": "launch.config:ReportConfig",
    "pipeline": "launch.config:PipelineConfig",
}
JOB_FUNCTIONS = {
    "pretrain": "mmfm.training.trainer:pretrain",
    "finetune": "mmfm.training.trainer:finetune",
    "evaluate": "mmfm.evaluation:evaluate",
}
PRESET_COMMANDS = ("pretrain", "finetune")  # those whose recipes may start from a model preset
REQUIRED = {
    "pretrain": ("run.name", "data.shards"),
    "finetune": ("run.name", "data.shards"),
    "evaluate": ("run.name", "checkpoint", "shards"),
    "data shard": ("root", "output"),
    "data demo": ("folder",),
    "report": ("folder",),
    "pipeline": ("run.name",),
}


def load_config(command: str, recipe: str | Path | None, words: Sequence[str]) -> Any:
    """The typed config of a command, from a recipe and overrides (`cluster=NAME` among them).

    Raises `ConfigError` for whatever cannot be used, and for required keys that nobody gave.
    """
    base = None
    if command in PRESET_COMMANDS:
        base = resolve("mmfm.models.presets:preset_layer")
    if command in JOB_FUNCTIONS:
        words = expand_cluster(words)
    return load(resolve(SCHEMAS[command]), recipe, words, base=base)


def check_required(command: str, config: Any) -> None:
    """Refuse a config in which a key without a default is missing."""
    require(config, *REQUIRED[command])


def make_job(command: str, config: Any) -> Job:
    """The job that runs `command` with `config`, on whatever cluster."""
    folder = Path(config.run.root) / config.run.name
    return Job(command, JOB_FUNCTIONS[command], SCHEMAS[command], asdict(config), str(folder))
