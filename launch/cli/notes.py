"""`mmfm notes`: the synthetic notes of records."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli import audit
from launch.cli.words import add_command, add_recipe


def add(commands: Any) -> None:
    """Add `notes` and its subcommands."""
    parser = add_command(commands, "notes", "look at the notes that a recipe writes")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = add_command(
        actions,
        "show",
        "print the notes of the first records of each source",
        "  mmfm notes show configs/data/derm.yaml root=DATA --count 5",
    )
    add_recipe(show, "data shard")
    show.add_argument("--count", type=int, default=3, help="records of each source (default: %(default)s)")
    show.set_defaults(run=run_show)
    audit.add(actions)


def run_show(args: argparse.Namespace) -> int:
    """Print notes by strategy."""
    from launch.recipes.commands import load_config
    from mmfm.config import to_yaml
    from mmfm.config.load import require

    config = load_config("data shard", args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    require(config, "root")
    from data_tools.notes import write_notes
    from data_tools.sources import read_source

    for source in config.sources:
        for found in read_source(source, Path(config.root)).records[: args.count]:
            print(found.record.key)
            for strategy, note in write_notes(found.record, config.notes).items():
                print(f"  {strategy}  {note.text}")
    return 0
