"""Runs the stages of a pipeline in order, passing over those that are finished.

A stage is finished for good as long as its config and what came out of the stages before it are the same,
and its own output is there. So a pipeline that was stopped goes on with the same command.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from launch.commands import JOB_FUNCTIONS, check_required, load_config
from launch.config import STAGE_COMMANDS, PipelineConfig, StageConfig
from launch.overrides import to_words
from launch.stages import output_digest, run_stage
from launch.supervise import StoppedError
from mmfm.config.load import parse_overrides, read_yaml
from mmfm.errors import ConfigError
from mmfm.files import write_atomically
from mmfm.progress import say

STATE_FILE = "pipeline.json"


@dataclass(frozen=True)
class Stage:
    """A stage with its merged config."""

    name: str
    command: str
    config: Any
    after: tuple[str, ...]


def run_pipeline(recipe: Path, words: Sequence[str] = ()) -> Path:
    """Run the pipeline of `recipe` with overrides `words` and return its folder.

    All stages' configs are checked before the first one runs. Raises `ConfigError` for a recipe that cannot
    be used, and whatever a stage raises.
    """
    config = load_pipeline(recipe, words)
    stages = load_stages(config, recipe)
    folder = Path(config.run.root) / config.run.name
    record = Record(folder / STATE_FILE)
    digests: dict[str, str] = {}
    for position, stage in enumerate(stages, start=1):
        fingerprint = _fingerprint(stage, {name: digests[name] for name in stage.after})
        label = f"[{position}/{len(stages)}] {stage.name}"
        if record.is_finished(stage.name, fingerprint) and output_digest(stage.command, stage.config):
            say(f"{label}: finished already")
        else:
            say(f"{label}: {stage.command}")
            with record.running(stage, fingerprint):
                run_stage(stage.command, stage.config)
        digests[stage.name] = output_digest(stage.command, stage.config)
    return folder


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
    return [_load_stage(name, config.stages[name], recipe) for name in stage_order(config.stages)]


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


def _load_stage(name: str, stage: StageConfig, recipe: Path) -> Stage:
    if stage.command not in STAGE_COMMANDS:
        raise ConfigError(
            f"stages.{name}.command={stage.command!r} is not one of {', '.join(STAGE_COMMANDS)}"
        )
    own = recipe.parent / stage.recipe if stage.recipe else None
    try:
        config = load_config(stage.command, own, to_words(stage.set))
        check_required(stage.command, config)
    except ConfigError as error:
        raise ConfigError(f"stage {name}: {error}") from error
    if stage.command in JOB_FUNCTIONS and config.cluster.kind != "local":
        raise ConfigError(f"stage {name}: pipelines run on this machine: cluster.kind must be local")
    return Stage(name, stage.command, config, tuple(stage.after))


def _fingerprint(stage: Stage, inputs: dict[str, str]) -> str:
    values = asdict(stage.config)
    values.pop("cluster", None)  # where it runs does not change what comes out
    text = json.dumps([stage.command, values, inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Record:
    """pipeline.json: by stage its command, status, start, duration in seconds, and fingerprint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages: dict[str, dict[str, Any]] = {}
        if path.exists():
            try:
                self.stages = json.loads(path.read_text())["stages"]
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{path} is damaged: delete it, finished stages are then run again"
                ) from error

    def is_finished(self, name: str, fingerprint: str) -> bool:
        """Whether the stage was finished with this config and these inputs."""
        entry = self.stages.get(name, {})
        return entry.get("status") == "finished" and entry.get("fingerprint") == fingerprint

    @contextmanager
    def running(self, stage: Stage, fingerprint: str) -> Iterator[None]:
        """Write down how the stage goes while the block runs."""
        began = time.monotonic()
        entry = {
            "command": stage.command,
            "status": "running",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": 0.0,
            "fingerprint": fingerprint,
        }
        self.stages[stage.name] = entry
        self._write()
        try:
            yield
            entry["status"] = "finished"
        except (KeyboardInterrupt, StoppedError):
            entry["status"] = "stopped"
            raise
        except BaseException:
            entry["status"] = "failed"
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - began, 1)
            self._write()

    def _write(self) -> None:
        write_atomically(self.path, json.dumps({"stages": self.stages}, indent=2) + "\n")
