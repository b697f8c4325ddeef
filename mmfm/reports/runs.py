"""What run folders hold, read into typed pieces: config, environment, training metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from omegaconf import OmegaConf

from mmfm.config.load import read_yaml
from mmfm.errors import DataError
from mmfm.evaluation.place import DESCRIPTION
from mmfm.evaluation.suitefile import SuiteFile
from mmfm.reports.suites import read_suites

PRETRAIN, FINETUNE, EVALUATE = "pretrain", "finetune", "evaluate"
KINDS = (PRETRAIN, FINETUNE, EVALUATE)  # in the order in which a report shows them
NOT_RUNS = {
    "checkpoints",
    "code",
    "evals",
    "logs",
    "shards",
    "stages",
    "tb",
}  # folders that never hold further runs
DEPTH = 2  # levels below a pipeline folder that are searched for runs


@dataclass
class Run:
    """One run folder. `metrics` has one entry per logged step, in step order."""

    name: str
    kind: str  # one of KINDS
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)  # what was built, in the shape of config's `model`
    env: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    suites: list[SuiteFile] = field(default_factory=list)

    def get(self, key: str, default: Any = None) -> Any:
        """Value of the dotted config key, or `default` where the config does not have it."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value

    def series(self, key: str) -> list[tuple[float, float]]:
        """(step, value) of every finite number that was logged as `key`."""
        pairs = ((line["step"], line.get(key)) for line in self.metrics)
        return [(float(step), value) for step, value in pairs if _is_finite(value)]


def read_runs(folder: Path) -> list[Run]:
    """The runs in `folder`: itself, or those below it. Raises `DataError` if there are none."""
    if not folder.is_dir():
        raise DataError(
            f"no run folder at {folder}: give the folder that `mmfm pretrain` or a pipeline wrote"
        )
    found = find_runs(folder)
    if not found:
        raise DataError(
            f"{folder} holds no run: expected config.yaml, metrics.jsonl or evals/ in it or below it"
        )
    return found


def find_runs(folder: Path) -> list[Run]:
    """The runs in `folder` and below it, by kind and name; maybe none."""
    found = [_read_run(path, folder) for path in _run_folders(folder)]
    return sorted(found, key=lambda run: (KINDS.index(run.kind), run.name))


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises `DataError` that names it when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}. Write it again or move it away") from error


def _run_folders(folder: Path) -> list[Path]:
    below = list(_below(folder, DEPTH))
    has_results = (folder / "metrics.jsonl").is_file() or (folder / "evals").is_dir()
    # a pipeline folder may keep its own config.yaml beside its runs
    own = [folder] if has_results or ((folder / "config.yaml").is_file() and not below) else []
    return own + below


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if depth else []:
        if not path.is_dir() or path.name in NOT_RUNS or path.name.startswith("."):
            continue
        if any((path / name).exists() for name in ("config.yaml", "metrics.jsonl", "evals")):
            yield path
        yield from _below(path, depth - 1)


def _read_run(path: Path, folder: Path) -> Run:
    config: dict[str, Any] = {}
    if (path / "config.yaml").is_file():
        config = OmegaConf.to_container(read_yaml(path / "config.yaml"), resolve=False)  # type: ignore[assignment]
    return Run(
        name=path.relative_to(folder).as_posix() if path != folder else path.resolve().name,
        kind=FINETUNE if "task" in config else EVALUATE if "suites" in config else PRETRAIN,
        folder=path,
        config=config,
        model=_read_model(path, config),
        env=read_json(path / "env.json") if (path / "env.json").is_file() else {},
        metrics=_read_metrics(path / "metrics.jsonl"),
        suites=read_suites(path / "evals"),
    )


def _read_model(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The config's model; for a run that took its towers from elsewhere (`init`), that of its checkpoints."""
    if not config.get("init"):
        return config.get("model") or {}
    described = sorted(path.glob(f"checkpoints/step_*/model/{DESCRIPTION}"))
    values: Any = OmegaConf.to_container(read_yaml(described[-1])) if described else {}
    return values.get("model") or {}


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl` by step. A continued run may log a step again: the later line counts."""
    by_step: dict[int, dict[str, Any]] = {}
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            by_step[int(entry["step"])] = entry
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and not text.endswith("\n"):
                break  # the run was killed while it wrote its last line
            raise DataError(f"cannot read line {number} of {path}: {error!r}. Mend or delete it") from error
    return [by_step[step] for step in sorted(by_step)]


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
