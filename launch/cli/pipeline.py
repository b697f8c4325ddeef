"""`mmfm pipeline` and `mmfm demo`: the whole road in one command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command, add_recipe

PIPELINE = """\
  mmfm pipeline configs/pipeline/derm_cpu.yaml data.root=DATA run.name=first
  mmfm pipeline configs/pipeline/demo.yaml stages.pretrain.set.train.steps=100
  mmfm pipeline configs/pipeline/derm_cluster.yaml data.root=DATA run.name=big cluster=slurm \\
      cluster.nodes=4
  mmfm pipeline configs/pipeline/derm_cluster.yaml data.root=DATA run.name=big --status

Stages that are finished and whose input has not changed are passed over, so the same command
goes on after an interruption. On Slurm each stage is a job that starts when those before it have
ended well; the command does not wait for them.
"""


def add(commands: Any) -> None:
    """Add both subcommands."""
    demo = add_command(
        commands, "demo", "draw a small set and run everything on it, in a few minutes on two cores"
    )
    demo.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="overrides of configs/pipeline/demo.yaml",
    )
    demo.set_defaults(run=run_demo)
    parser = add_command(commands, "pipeline", "run stages from raw data to a report", PIPELINE)
    add_recipe(parser, "pipeline")
    parser.add_argument("--status", action="store_true", help="tell how the stages get on, and leave")
    parser.set_defaults(run=run_command)


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo's pipeline."""
    from launch.recipes.places import find_config

    return _run(find_config("pipeline/demo.yaml"), args.overrides)


def run_command(args: argparse.Namespace) -> int:
    """Print the pipeline's config, tell how its stages get on, or run it."""
    if args.print_config:
        from launch.recipes.commands import load_config
        from mmfm.config import to_yaml

        print(to_yaml(load_config("pipeline", args.recipe, args.overrides)), end="")
        return 0
    if args.status:
        return _status(Path(args.recipe), args.overrides)
    return _run(Path(args.recipe), args.overrides)


def _status(recipe: Path, overrides: list[str]) -> int:
    from rich.console import Console

    from launch.pipelines.chain import settle
    from launch.pipelines.pipeline import load_pipeline, pipeline_folder
    from launch.pipelines.records import Records, table

    records = Records(pipeline_folder(load_pipeline(recipe, overrides)))
    settle(records, records.stages)
    Console().print(table(records))
    return 0


def _run(recipe: Path, overrides: list[str]) -> int:
    from launch.pipelines.pipeline import run_pipeline
    from launch.results import print_headline

    records = run_pipeline(recipe, overrides)
    if all(records[name].status.name == "finished" for name in records.stages):
        print_headline(records.folder)
    else:
        print(f"submitted; how the stages get on: mmfm pipeline {recipe} {' '.join(overrides)} --status")
    return 0
