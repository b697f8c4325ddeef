"""What a stage of a pipeline does, and by what its output is known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from launch.commands import JOB_FUNCTIONS
from mmfm.errors import CheckpointError


def run_stage(command: str, config: Any) -> None:
    """Run one stage to its end."""
    if command in JOB_FUNCTIONS:
        from launch.run import run

        run(command, config)
    elif command == "data demo":
        from data_tools.demo import draw_demo_set

        draw_demo_set(Path(config.folder), config.images, config.seed)
    elif command == "data shard":
        from data_tools.shards import shard

        shard(config)
    else:
        assert command == "report", command
        from mmfm.reports import write_report

        write_report(Path(config.folder), Path(config.output) if config.output else None)


def output_digest(command: str, config: Any) -> str:
    """Hash of the files that stand for a stage's output; empty if they are not there (any more)."""
    paths = _output_files(command, config)
    if not paths or not all(path.is_file() for path in paths):
        return ""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _output_files(command: str, config: Any) -> list[Path]:
    if command == "data demo":
        return [Path(config.folder) / "metadata.csv"]
    if command == "data shard":
        return [Path(config.output) / "dataset.json"]
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
