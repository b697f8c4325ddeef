"""What a stage of a pipeline does, and by what its output is known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from launch.recipes.commands import JOB_FUNCTIONS, STAGE_FUNCTIONS
from launch.recipes.config import DemoDataConfig, ReportConfig
from launch.start.job import resolve
from mmfm.config.schema import PretrainConfig
from mmfm.errors import CheckpointError


def run_stage(command: str, config: Any) -> None:
    """Run one stage to its end, here."""
    if command in JOB_FUNCTIONS:
        from launch.run import run

        run(command, config)
    else:
        resolve(STAGE_FUNCTIONS[command])(config)


def draw(config: DemoDataConfig) -> None:
    """Draw the demo set."""
    from data_tools.demo import draw_demo_set

    draw_demo_set(Path(config.folder), config.images, config.seed)


def report(config: ReportConfig) -> None:
    """Write the report."""
    from mmfm.reports import write_report

    write_report(Path(config.folder), Path(config.output) if config.output else None)


def missing_part(command: str, config: Any) -> str:
    """What a stage's output lacks, in words; empty if it is all there."""
    paths = _whole_output(command, config)
    if not paths:
        return "its output is not there"
    if isinstance(config, PretrainConfig):
        from mmfm.training.checkpoint import read_position

        step = read_position(paths[0].parent).step  # of the checkpoint that has just been verified
        if step < config.train.steps:
            return f"it stopped after step {step} of {config.train.steps}"
    return ""


def output_digest(command: str, config: Any) -> str:
    """Hash of the files that stand for a stage's output; empty if they are not there (any more)."""
    paths = _whole_output(command, config)
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16] if paths else ""


def _whole_output(command: str, config: Any) -> list[Path]:
    """The files that stand for a stage's output; none if one is missing."""
    paths = _output_files(command, config)
    return paths if all(path.is_file() for path in paths) else []


def _output_files(command: str, config: Any) -> list[Path]:
    if command == "data demo":
        return [Path(config.folder) / "metadata.csv"]
    if command == "data shard":
        return [Path(config.output) / "dataset.json"]
    if command == "notes write":
        from data_tools.notes.writing import written_path

        return [written_path(config)]
    if command == "report":
        return [Path(config.output) if config.output else Path(config.folder) / "report.html"]
    try:
        if command == "evaluate":
            from mmfm.evaluation.place import suite_paths

            return suite_paths(config)
        from mmfm.training.checkpoint import newest_checkpoint

        return [newest_checkpoint(Path(config.run.root) / config.run.name) / "manifest.json"]
    except CheckpointError:  # nothing is there yet
        return []
