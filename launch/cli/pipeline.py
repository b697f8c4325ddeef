"""`mmfm pipeline` and `mmfm demo`: the whole road in one command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command, add_recipe

PIPELINE = """\
  mmfm pipeline configs/pipeline/derm_cpu.yaml data.root=DATA run.name=first
  mmfm pipeline configs/pipeline/demo.yaml stages.pretrain.set.train.steps=100

Stages that are finished and whose input has not changed are passed over, so the same command
goes on after an interruption.
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
    parser.set_defaults(run=run_command)


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo's pipeline."""
    from launch.places import find_config

    return _run(find_config("pipeline/demo.yaml"), args.overrides)


def run_command(args: argparse.Namespace) -> int:
    """Print the pipeline's config, or run it."""
    if not args.print_config:
        return _run(Path(args.recipe), args.overrides)
    from launch.commands import load_config
    from mmfm.config import to_yaml

    print(to_yaml(load_config("pipeline", args.recipe, args.overrides)), end="")
    return 0


def _run(recipe: Path, overrides: list[str]) -> int:
    from launch.pipeline import run_pipeline
    from launch.results import print_headline

    folder = run_pipeline(recipe, overrides)
    print_headline(folder)
    return 0
