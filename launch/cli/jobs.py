"""`mmfm pretrain`, `mmfm finetune`, `mmfm evaluate`: the commands that run as jobs."""

from __future__ import annotations

import argparse
from typing import Any

from launch.cli.words import add_command, add_recipe

PRETRAIN = """\
  mmfm pretrain configs/pretrain/demo.yaml data.shards=runs/demo/shards run.name=mine
  mmfm pretrain configs/pretrain/derm_cpu.yaml data.shards=SHARDS run.name=b model.preset=vit_s16
  mmfm pretrain configs/pretrain/derm_vitb16_pubmedbert.yaml cluster=slurm cluster.nodes=4 --dry-run

The same command again, in the same run folder, goes on from the newest checkpoint.
"""
FINETUNE = """\
  mmfm finetune configs/finetune/demo.yaml data.shards=runs/demo/shards init=runs/demo/pretrain
  mmfm finetune configs/finetune/derm_cpu.yaml data.shards=SHARDS init=runs/first task.inputs=both
"""
EVALUATE = """\
  mmfm evaluate configs/evaluate/demo.yaml checkpoint=runs/demo/pretrain shards=runs/demo/shards \\
      run.root=runs/demo run.name=pretrain

Results go to evals/ of the run folder and are printed as a table with 95% intervals.
"""


def add(commands: Any) -> None:
    """Add the three subcommands."""
    for name, purpose, examples in (
        ("pretrain", "train an image and a text tower to agree (contrastive pretraining)", PRETRAIN),
        (
            "finetune",
            "train a classifier on image, note or both, from a pretrained model or from scratch",
            FINETUNE,
        ),
        ("evaluate", "measure a checkpoint: zero-shot, retrieval, linear probe, classification", EVALUATE),
    ):
        parser = add_command(commands, name, purpose, examples)
        add_recipe(parser, name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="check everything and print what would be started, or the sbatch script",
        )
        parser.set_defaults(run=run_command)


def run_command(args: argparse.Namespace) -> int:
    """Load the config, then print it, tell what would run, or run it."""
    from launch.commands import load_config
    from mmfm.config import to_yaml

    config = load_config(args.command, args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    from launch.run import dry_run, run

    if args.dry_run:
        print(dry_run(args.command, config))
        return 0
    run(args.command, config)
    if args.command == "evaluate" and config.cluster.kind == "local":
        _print_results(config)
    return 0


def _print_results(config: Any) -> None:
    from pathlib import Path

    from launch.results import print_suites

    print_suites(Path(config.run.root) / config.run.name)
