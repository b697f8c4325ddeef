"""`mmfm notes audit`: which notes lie."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from launch.cli.words import add_command, add_recipe, at_least
from mmfm.errors import ConfigError

EXAMPLES = """\
  mmfm notes audit configs/data/derm.yaml root=DATA
  mmfm notes audit configs/data/derm.yaml root=DATA audit.encoder=minilm
  mmfm notes audit configs/data/derm_notes.yaml root=DATA store=STORE notes=[M,L1,OL,R] \\
      writers.default.model=NAME --limit 500 --output look
  mmfm notes audit configs/data/derm_notes.yaml root=DATA store=STORE writers.default.model=NAME \\
      audit.judge=WRITER writers.WRITER.model=NAME
  mmfm notes audit --planted

Notes of language models are looked up by model, prompt and decoding: give the words of `mmfm notes write`.

The folder then holds audit.html (score cards, subgroups, notes beside their images; open it in a browser),
cards.json (the same numbers) and refused.jsonl (every refused note whole, with its reasons). The settings
`audit` of the recipe say what is refused; `mmfm data shard` refuses the same.
"""


MARK = 0.95  # least precision and recall of each kind of finding on planted errors


def add(actions: Any) -> None:
    """Add the subcommands to those of `mmfm notes`."""
    parser = add_command(
        actions, "audit", "hold the notes of a recipe against the metadata, and report which lie", EXAMPLES
    )
    add_recipe(parser, "data shard", optional=True)
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder to write (default: audit-RECIPE, here)"
    )
    parser.add_argument(
        "--limit",
        type=at_least(0),
        default=0,
        help="most records of each source, the first ones; 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(0),
        default=0,
        help="auditing processes; 0 takes one per core (default: %(default)s)",
    )
    parser.add_argument(
        "--planted",
        action="store_true",
        help="measure the audit itself on planted errors and leave; exit code 1 if precision or recall of a "
        f"kind is below {MARK}",
    )
    parser.set_defaults(run=run_audit)


def run_planted() -> int:
    """Print how well the audit finds planted errors. 1 if a kind falls short."""
    from data_tools.notes.audit.planted import ALL, measure
    from data_tools.notes.audit.planted import format as told

    measured = measure()
    print(told(measured))
    short = [row for row in measured.rows if row.half == ALL and min(row.precision, row.recall) < MARK]
    for row in short:
        print(f"mmfm: {row.kind} is below {MARK}", file=sys.stderr)
    return 1 if short else 0


def run_audit(args: argparse.Namespace) -> int:
    """Audit the notes of a recipe: print the score cards, write the report."""
    if args.planted:
        return run_planted()
    if args.recipe is None:
        raise ConfigError("which notes? Give a RECIPE, or --planted to measure the audit itself")
    from launch.recipes.commands import load_config
    from mmfm.config import to_yaml
    from mmfm.config.load import require

    config = load_config("data shard", args.recipe, args.overrides)
    if args.print_config:
        print(to_yaml(config), end="")
        return 0
    require(config, "root")
    from data_tools.notes.audit.recipe import REFUSED_NAME, REPORT_NAME, audit_recipe
    from data_tools.notes.audit.report.terminal import print_cards

    name = Path(args.recipe).stem
    folder = args.output or Path(f"audit-{name}")
    audit = audit_recipe(config, args.limit, args.workers)
    audit.write(folder, name)
    print_cards(audit.cards)
    print(f"{folder / REPORT_NAME}\n{sum(1 for _ in audit.refused)} refused notes: {folder / REFUSED_NAME}")
    return 0
