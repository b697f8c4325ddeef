"""`mmfm evaluate`: from a checkpoint and shards to one result file per suite."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mmfm
from mmfm.config.schema import EvaluateConfig
from mmfm.errors import ConfigError
from mmfm.evaluation.place import find_model, suite_path
from mmfm.evaluation.results import print_table
from mmfm.evaluation.subject import Subject
from mmfm.evaluation.suitefile import write_suite
from mmfm.evaluation.suites import SUITES
from mmfm.evaluation.zeroshot import fill_prompts
from mmfm.models.build import load_model
from mmfm.progress import say

PROTOCOL = "clean"  # one split as pool, self excluded, only the classes present


def run_suites(config: EvaluateConfig) -> list[Path]:
    """Run each suite, write `<run>/evals/step_XXXXXXXX/<suite>.json` and print its table to stdout.

    A file is written as soon as its suite is done. Raises `ConfigError` for suites that do not exist or do
    not fit the model, `CheckpointError` and `DataError` for what cannot be read.
    """
    check_config(config)
    folder, step = find_model(config.checkpoint)
    loaded = load_model(folder)
    check_suites_fit(config.suites, loaded.kind, folder)
    subject = Subject(config, loaded)
    written = []
    for name in config.suites:
        say(f"{name} of {folder} on {config.split} of {config.shards}")
        outcome = SUITES[name].measure(subject)
        head = _head(name, config, folder, step)
        written.append(write_suite(suite_path(config, step, name), head, outcome))
        print_table(name, outcome.results)
        say(f"written: {written[-1]}")
    return written


def check_config(config: EvaluateConfig) -> None:
    """Refuse, before anything is read, a config that cannot be run. Raises `ConfigError`."""
    if not config.suites:
        raise ConfigError(f"suites is empty: give any of {', '.join(SUITES)}")
    for name in config.suites:
        if name not in SUITES:
            near = difflib.get_close_matches(name, SUITES, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"Suites: {', '.join(SUITES)}"
            raise ConfigError(f"unknown suite {name!r} in suites. {hint}")
    if "zeroshot" in config.suites:
        fill_prompts(config.prompts)
    if "probe" in config.suites and config.probe_split == config.split:
        raise ConfigError(
            f"probe_split and split are both {config.split!r}: a probe needs unseen samples to be measured on"
        )


def check_suites_fit(suites: list[str], kind: str, folder: Path) -> None:
    """Refuse suites that measure another kind of model. Raises `ConfigError` naming both."""
    for name in suites:
        if SUITES[name].kind != kind:
            fitting = ", ".join(other for other, suite in SUITES.items() if suite.kind == kind)
            raise ConfigError(
                f"suite {name!r} measures a model of kind {SUITES[name].kind!r}, but {folder} is of kind "
                f"{kind!r}: set suites to any of {fitting}"
            )


def _head(name: str, config: EvaluateConfig, folder: Path, step: int) -> dict[str, Any]:
    return {
        "suite": name,
        "protocol": PROTOCOL,
        "checkpoint": str(folder.parent if folder.name == "model" else folder),
        "step": step,
        "created_by": f"mmfm {mmfm.__version__}",
        "config": asdict(config),
    }
