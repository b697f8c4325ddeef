"""`mmfm notes`: the synthetic notes of records."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli import audit, graph
from launch.cli.words import add_command, add_recipe, at_least

WRITE = """\
  mmfm notes write configs/data/derm_notes.yaml root=DATA store=runs/notes notes=[L1,OL] \\
      writers.default.model=NAME writers.default.server.url=http://localhost:8000/v1
  mmfm notes write configs/data/derm_notes.yaml root=DATA store=runs/notes \\
      writers.default.backend=local writers.default.model=FOLDER cluster=slurm tasks=8

Every answer is on disk before it counts. Run again after an interruption or a kill, it goes on; what
failed before is asked for again.
"""


def add(commands: Any) -> None:
    """Add `notes` and its subcommands."""
    parser = add_command(commands, "notes", "write and look at the notes that a recipe names")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    write = add_command(
        actions,
        "write",
        "have language models write the notes that a recipe names and the store lacks",
        WRITE,
    )
    add_recipe(write, "notes write")
    write.add_argument(
        "--skip-failed", action="store_true", help="do not ask again for notes that failed before"
    )
    write.set_defaults(run=run_write)
    listing = add_command(
        actions,
        "list",
        "count what a store holds: notes, failures, tokens, cost",
        "  mmfm notes list runs/notes",
    )
    listing.add_argument("store", type=Path, help="folder of the store")
    listing.set_defaults(run=run_list)
    show = add_command(
        actions,
        "show",
        "print the notes of the first records of each source: templates, and what the store has",
        "  mmfm notes show configs/data/derm.yaml root=DATA --count 5\n"
        "  mmfm notes show configs/data/derm_notes.yaml root=DATA --prompts",
    )
    add_recipe(show, "data shard")
    show.add_argument(
        "--count", type=at_least(1), default=3, help="records of each source (default: %(default)s)"
    )
    show.add_argument("--prompts", action="store_true", help="print also what language models are asked")
    show.set_defaults(run=run_show)
    audit.add(actions)
    graph.add(actions)


def run_write(args: argparse.Namespace) -> int:
    """Write notes here, or submit the jobs that do."""
    from launch.recipes.commands import check_required, load_config
    from mmfm.config import to_yaml

    config = load_config("notes write", args.recipe, args.overrides)
    if args.skip_failed:
        for writer in config.writers.values():
            writer.retry_failed = False
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    check_required("notes write", config)
    if config.cluster.kind == "slurm":
        from launch.pipelines.notewriting import JOBS, submit

        print(f"submitted; Slurm job {submit(config)} ends it. Logs: {config.store}/{JOBS}/logs")
        return 0
    from data_tools.notes.writing import write_notes

    summary = write_notes(config)
    print(f"{config.store}: {summary}")
    if summary.failed:
        print(f"the same command asks for those again; what they were: mmfm notes list {config.store}")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print the table of a store."""
    from data_tools.notes.listing import Listing
    from launch.watching.statustable import status_console

    listing = Listing.of(args.store)
    status_console().print(listing.table())
    for line in listing.remarks():
        print(line)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print notes by name."""
    from launch.recipes.commands import load_config
    from mmfm.config import to_yaml
    from mmfm.config.load import require

    config = load_config("data shard", args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    require(config, "root")
    from data_tools.notes.listing import shown

    for line in shown(config, args.count, args.prompts):
        print(line)
    return 0
