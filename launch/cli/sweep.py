"""`mmfm sweep`: one command for every combination of some values."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command, add_recipe, at_least

SWEPT = ("pretrain", "finetune", "evaluate")
EXAMPLES = """\
  mmfm sweep pretrain configs/pretrain/demo.yaml data.shards=runs/demo/shards run.name=rates \\
      optim.lr=1e-3,3e-4 model.embed_dim=64,128
  mmfm sweep finetune configs/finetune/demo.yaml data.shards=runs/demo/shards run.name=tasks \\
      init=runs/demo/pretrain task.inputs=image,both train.seed=0,1,2 cluster=slurm --limit 4
  mmfm sweep table runs/rates

A key with several values, parted by commas, spans the sweep. Its members are in run.root/run.name.
On Slurm they are one job array. The same command again goes on with what is not finished.
"""


def add(commands: Any) -> None:
    """Add `sweep` and its subcommands."""
    parser = add_command(commands, "sweep", "run a command for every combination of some values", EXAMPLES)
    actions = parser.add_subparsers(dest="action", metavar="COMMAND", required=True)
    for name in SWEPT:
        swept = add_command(actions, name, f"sweep `mmfm {name}`", EXAMPLES)
        add_recipe(swept, name)
        swept.add_argument(
            "--limit", type=at_least(0), default=0, help="most members at once on Slurm; 0 is all"
        )
        swept.add_argument("--dry-run", action="store_true", help="list the members and leave")
        swept.set_defaults(run=run_sweep)
    table = add_command(actions, "table", "print the table of outcomes", "  mmfm sweep table runs/rates")
    table.add_argument("folder", type=Path, help="folder of the sweep")
    table.set_defaults(run=run_table)


def run_sweep(args: argparse.Namespace) -> int:
    """Run or submit the members; print the table once all have ended. 1 if one failed."""
    from launch.sweeps.sweep import load_sweep
    from launch.sweeps.sweep import run_sweep as sweep
    from mmfm.config import to_yaml

    folder, members = load_sweep(args.action, Path(args.recipe), args.overrides, args.limit)
    if args.print_config:
        print("---\n".join(to_yaml(stage.config) for stage in members), end="")
        return 0
    if args.dry_run:
        print("\n".join(f"{folder}/{stage.name}" for stage in members))
        return 0
    records = sweep(folder, members)
    if members[0].config.cluster.kind == "slurm":
        print(f"how they get on, and what came of them: mmfm sweep table {folder}")
        return 0
    _print(folder)
    return int(any(records[stage.name].status.name == "failed" for stage in members))


def run_table(args: argparse.Namespace) -> int:
    """Print what is known of a sweep now."""
    _print(args.folder)
    return 0


def _print(folder: Path) -> None:
    from rich.console import Console

    from launch.pipelines.chain import settle
    from launch.pipelines.records import Records
    from launch.sweeps.outcomes import Outcomes

    records = Records(folder)
    settle(records, records.stages)
    outcomes = Outcomes.of(records)
    Console().print(outcomes.table())
    print(f"the same as CSV: {outcomes.write(folder)}")
