"""The recipe of `mmfm pipeline`, and those of its stages that have no recipe elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mmfm.config.option import option
from mmfm.config.schema import ClusterConfig

STAGE_COMMANDS = ("data demo", "notes write", "data shard", "pretrain", "finetune", "evaluate", "report")


@dataclass
class PipelineRun:
    """The folder of the whole pipeline, `root/name`; stages write below it."""

    name: str = option(MISSING, "name of the pipeline's run; its folder is root/name")
    root: str = option("runs", "folder that holds the runs")


@dataclass
class RawData:
    """The raw data that the stages' recipes read."""

    root: str = option(MISSING, "folder that holds the raw data; recipes refer to it as ${data.root}")


@dataclass
class StageConfig:
    """One stage: a command, its recipe, and what it waits for."""

    command: str = option(MISSING, "what the stage runs", choices=STAGE_COMMANDS)
    recipe: str = option("", "the command's recipe, relative to the pipeline's file; empty if `set` says all")
    after: list[str] = option([], "stages that must be finished before")
    set: dict[str, Any] = option({}, "values that go over the recipe, nested as in a recipe")
    each: dict[str, Any] = option(
        {}, "several of this stage: name -> values over `set`; a job array on Slurm, else one after another"
    )
    limit: int = option(0, "how many of `each` run at once on Slurm; 0 is all", minimum=0)


@dataclass
class PipelineConfig:
    """`mmfm pipeline`: stages from raw data to a report."""

    run: PipelineRun = field(default_factory=PipelineRun)
    data: RawData = field(default_factory=RawData)
    cluster: dict[str, Any] = option(
        {},
        "where all stages run, as `cluster` of their recipes: cluster=NAME, cluster.KEY=...; a stage's `set` "
        "goes over it, and stages that do not train take one process of it",
    )
    stages: dict[str, StageConfig] = option({}, "the stages by name, in the order in which they are listed")


@dataclass
class DemoDataConfig:
    """`mmfm data demo`: draw the demo set."""

    folder: str = option(MISSING, "folder to write images and metadata.csv into")
    images: int = option(2400, "images to draw")
    seed: int = option(0, "seed of the drawing")
    cluster: ClusterConfig = field(default_factory=ClusterConfig)


@dataclass
class ReportConfig:
    """`mmfm report`: one page from a folder of runs."""

    folder: str = option(MISSING, "run folder, or folder that holds several")
    output: str = option("", "file to write; empty is report.html in the folder")
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
