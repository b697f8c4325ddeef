"""Takes a pipeline from its recipe to its end: runs its stages in order here, or submits them to Slurm.

A stage is finished for good as long as its config and what came out of the stages before it are the same,
and its own output is there. So a pipeline that was stopped goes on with the same command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launch.checks.preflight import check_batch
from launch.pipelines.chain import check_group, plan, submit_group
from launch.pipelines.notewriting import runs_model
from launch.pipelines.records import Records, Stage
from launch.pipelines.stages import run_stage
from launch.recipes.commands import PRESET_COMMANDS, check_required, load_config
from launch.recipes.config import STAGE_COMMANDS, PipelineConfig, StageConfig
from launch.recipes.overrides import expand_cluster, one_process, to_words
from launch.slurm.script import check_slurm
from mmfm.config.load import parse_overrides, read_yaml
from mmfm.config.schema import PretrainConfig
from mmfm.errors import ConfigError
from mmfm.progress import say


def run_pipeline(recipe: Path, words: Sequence[str] = ()) -> Records:
    """Run the pipeline of `recipe` with overrides `words`, or submit it. Returns the records of its stages.

    All stages' configs are checked before the first one runs. Raises `ConfigError` for a recipe that cannot
    be used, and whatever a stage raises.
    """
    config = load_pipeline(recipe, words)
    stages = load_stages(config, recipe)
    folder = pipeline_folder(config)
    _check_places(stages, Records(folder))
    records, queued = plan(folder, stages)
    total, position = len(stages), 0
    for _, group in groupby([records.stages[stage.name] for stage in stages], key=lambda stage: stage.group):
        todo = []
        for stage in group:
            position += 1
            label = f"[{position}/{total}] {stage.name}"
            waits = any(name in queued for name in stage.after)
            if stage.name in queued:
                say(f"{label}: {records[stage.name].status.name} already, as job {queued[stage.name]}")
            elif not waits and records.is_finished(stage):
                say(f"{label}: finished already")
            elif stage.config.cluster.kind == "local":
                say(f"{label}: {stage.command}")
                with records.running_here(stage):
                    run_stage(stage.command, stage.config)
            else:
                todo.append((label, stage))
        if todo:
            queued |= _submit(todo, folder, queued)
    return records


def pipeline_folder(config: PipelineConfig) -> Path:
    """The folder of a pipeline's run."""
    return Path(config.run.root) / config.run.name


def _submit(todo: Sequence[tuple[str, Stage]], folder: Path, queued: Mapping[str, str]) -> dict[str, str]:
    """Submit the stages of a group and say what they wait for. Returns their jobs."""
    before = [name for name in todo[0][1].after if name in queued]
    jobs = submit_group([stage for _, stage in todo], folder, [queued[name] for name in before])
    for label, stage in todo:
        waits = f", after {', '.join(before)}" if before else ""
        say(f"{label}: {stage.command} submitted as Slurm job {jobs[stage.name]}{waits}")
    return jobs


def _check_places(stages: Sequence[Stage], records: Records) -> None:
    """Refuse what no job can be, before anything runs; what depends on shards is checked by the job itself.

    Also a stage of this machine that waits for one on a cluster: this command does not wait.
    """
    for stage in stages:
        try:
            if stage.config.cluster.kind == "slurm":
                check_slurm(stage.config.cluster)
            if isinstance(stage.config, PretrainConfig):
                check_batch(stage.config)
        except ConfigError as error:
            raise ConfigError(f"stage {stage.name}: {error}") from error
    for name in dict.fromkeys(stage.group for stage in stages):
        check_group([stage for stage in stages if stage.group == name])
    on_cluster = {stage.name for stage in stages if stage.config.cluster.kind != "local"}
    clusters = {name for name in on_cluster if records[name].status.name != "finished"}
    for stage in stages:
        waits = [name for name in stage.after if name in clusters]
        if stage.config.cluster.kind == "local" and waits:
            raise ConfigError(
                f"stage {stage.name} runs on this machine but waits for {waits[0]}, a Slurm job: "
                f"give it cluster=NAME too, or cluster=NAME for the whole pipeline"
            )


def load_pipeline(recipe: Path, words: Sequence[str] = ()) -> PipelineConfig:
    """The config of the pipeline itself. Raises `ConfigError`, also for raw data that it wants and lacks."""
    given: Any = OmegaConf.merge(read_yaml(recipe), parse_overrides(words))
    if "${data.root}" in OmegaConf.to_yaml(given) and "root" not in (given.get("data") or {}):
        raise ConfigError(f"{recipe} needs the raw data: give its folder as data.root=FOLDER")
    config: PipelineConfig = load_config("pipeline", recipe, words)
    check_required("pipeline", config)
    return config


def load_stages(config: PipelineConfig, recipe: Path) -> list[Stage]:
    """The stages in the order in which they run. Raises `ConfigError` naming the stage at fault."""
    if not config.stages:
        raise ConfigError(f"{recipe} has no stages")
    members: dict[str, list[str]] = {}
    stages: list[Stage] = []
    for name in stage_order(config.stages):
        found = list(_load_stage(name, config, recipe, members))
        members[name] = [stage.name for stage in found]
        stages += found
    return stages


def stage_order(stages: dict[str, StageConfig]) -> list[str]:
    """Names so that each comes after those it waits for, otherwise as listed."""
    for name, stage in stages.items():
        unknown = [other for other in stage.after if other not in stages]
        if unknown:
            raise ConfigError(
                f"stages.{name}.after names {', '.join(unknown)}, which is no stage. "
                f"Stages: {', '.join(stages)}"
            )
    sorter = TopologicalSorter({name: stage.after for name, stage in stages.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigError(f"stages wait for each other: {' -> '.join(error.args[1])}") from error
    position = {name: number for number, name in enumerate(stages)}
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return order


def _load_stage(
    name: str, config: PipelineConfig, recipe: Path, members: Mapping[str, list[str]]
) -> Iterator[Stage]:
    """The stage of that name, or all stages of its `each`. `members` names those of the stages before."""
    stage = config.stages[name]
    if stage.command not in STAGE_COMMANDS:
        raise ConfigError(
            f"stages.{name}.command={stage.command!r} is not one of {', '.join(STAGE_COMMANDS)}"
        )
    own = recipe.parent / stage.recipe if stage.recipe else None
    after = tuple(member for other in stage.after for member in members[other])
    for label, values in stage.each.items() or [("", {})]:
        full = f"{name}.{label}" if label else name
        if not isinstance(values, Mapping):
            raise ConfigError(f"stages.{name}.each.{label} must be a mapping of keys to values")
        try:
            words = _own_words(stage, values)
            place = _place_words(config, stage, values, _takes_gpu(stage.command, own, words))
            loaded = load_config(stage.command, own, [*place, *words])
            check_required(stage.command, loaded)
        except ConfigError as error:
            raise ConfigError(f"stage {full}: {error}") from error
        yield Stage(full, stage.command, loaded, after, group=name, limit=stage.limit)


def _own_words(stage: StageConfig, each: Mapping[str, Any]) -> list[str]:
    return expand_cluster(to_words(stage.set)) + expand_cluster(to_words(each))


def _takes_gpu(command: str, recipe: Path | None, words: Sequence[str]) -> bool:
    """Whether a stage that does not train has use for a GPU."""
    return command == "evaluate" or (
        command == "notes write" and runs_model(load_config(command, recipe, words))
    )


def _place_words(config: PipelineConfig, stage: StageConfig, each: Mapping[str, Any], gpu: bool) -> list[str]:
    """Where the pipeline's `cluster` has a stage run. A profile that the stage names itself replaces it."""
    names_profile = any(isinstance(values.get("cluster"), str) for values in (stage.set, each))
    if not config.cluster or names_profile:
        return []
    trains = stage.command in PRESET_COMMANDS
    cluster = config.cluster if trains else one_process(config.cluster, gpu=gpu)
    return to_words({"cluster": cluster})
