"""What each command runs, with which config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launch.recipes.overrides import expand_cluster
from launch.start.job import Job, resolve
from mmfm.config import load
from mmfm.config.load import require
from mmfm.config.schema import PretrainConfig

SCHEMAS = {
    "pretrain": "mmfm.config.schema:PretrainConfig",
    "finetune": "mmfm.config.schema:FinetuneConfig",
    "evaluate": "mmfm.config.schema:EvaluateConfig",
    "data shard": "data_tools.config:ShardsConfig",
    "notes write": "data_tools.config:ShardsConfig",
    "data demo": "launch.recipes.config:DemoDataConfig",
    "report": "launch.recipes.config:ReportConfig",
    "pipeline": "launch.recipes.config:PipelineConfig",
}
JOB_FUNCTIONS = {
    "pretrain": "mmfm.training.trainer:pretrain",
    "finetune": "mmfm.training.trainer:finetune",
    "evaluate": "mmfm.evaluation:evaluate",
}
STAGE_FUNCTIONS = {  # of the commands that only a pipeline, or an array, has run as a job
    "data demo": "launch.pipelines.stages:draw",
    "data shard": "data_tools.shards.build:shard",
    "notes write": "launch.pipelines.notewriting:write_here",
    "report": "launch.pipelines.stages:report",
}
PRESET_COMMANDS = ("pretrain", "finetune")  # those whose recipes may start from a model preset
REQUIRED = {
    "pretrain": ("run.name", "data.shards"),
    "finetune": ("run.name", "data.shards"),
    "evaluate": ("run.name", "checkpoint", "shards"),
    "data shard": ("root", "output"),
    "notes write": ("root", "store"),
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
    return load(resolve(SCHEMAS[command]), recipe, expand_cluster(words), base=base)


def check_required(command: str, config: Any) -> None:
    """Refuse a config in which a key without a default is missing."""
    require(config, *REQUIRED[command])


def config_of(command: str, values: dict[str, Any]) -> Any:
    """The typed config of a command, from values that were one before."""
    return load(resolve(SCHEMAS[command]), base=lambda _: OmegaConf.create(values))


def make_job(command: str, config: Any, folder: Path | None = None, function: str = "") -> Job:
    """The job that runs `command` with `config`, on whatever cluster.

    Commands without a run keep logs and code in `folder`. `function` is another than the command's own.
    """
    if folder is None:
        folder = Path(config.run.root) / config.run.name
    function = function or {**JOB_FUNCTIONS, **STAGE_FUNCTIONS}[command]
    values = asdict(config)
    if isinstance(config, PretrainConfig):
        values["evals"] = asdict(resolve("launch.slurm.evals:settled")(config))
    return Job(command, function, SCHEMAS[command], values, str(folder))
