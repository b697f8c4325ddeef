"""`mmfm pretrain`, `mmfm finetune`, `mmfm evaluate`: the commands that run as jobs."""

from __future__ import annotations

import argparse
from typing import Any

from launch.cli.words import add_command, add_recipe

PRETRAIN = """\
  mmfm pretrain configs/pretrain/demo.yaml data.shards=runs/demo/shards run.name=mine
  mmfm pretrain configs/pretrain/derm_cpu.yaml data.shards=SHARDS run.name=b model.preset=vit_s16
  mmfm pretrain configs/pretrain/derm_vitb16_pubmedbert.yaml data.shards=SHARDS cluster=slurm \\
      cluster.nodes=4 --dry-run

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
    from launch.recipes.commands import load_config
    from mmfm.config import to_yaml

    config = load_config(args.command, args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    from launch.run import dry_run, run

    if args.dry_run:
        print(dry_run(args.command, config))
    elif args.command == "evaluate" and config.cluster.kind == "local":
        _evaluate_here(config)
    else:
        run(args.command, config)
    return 0


def _evaluate_here(config: Any) -> None:
    """Run an evaluation to its end and print what it wrote."""
    from launch.recipes.commands import check_required
    from launch.results import print_suites
    from launch.run import run
    from mmfm.evaluation.place import pin_checkpoint, suite_paths

    check_required("evaluate", config)
    pin_checkpoint(config)  # a run that still trains saves newer ones meanwhile, and deletes old ones
    written = suite_paths(config)
    run("evaluate", config)
    print_suites(written)
