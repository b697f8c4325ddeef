"""`mmfm notes graph`: the knowledge graph that primes notes of strategy K."""

from __future__ import annotations

import argparse
from typing import Any

from launch.cli.words import add_command

EXAMPLES = """\
  mmfm notes graph
  mmfm notes graph MEL
  mmfm notes graph blue nevus
"""


def add(actions: Any) -> None:
    """Add the subcommand to those of `mmfm notes`."""
    parser = add_command(
        actions, "graph", "print what the knowledge graph holds of a disease, with its sources", EXAMPLES
    )
    parser.add_argument(
        "disease", metavar="CLASS", nargs="*", help="class, its code, or subclass; without one, an overview"
    )
    parser.set_defaults(run=run_graph)


def run_graph(args: argparse.Namespace) -> int:
    """Print the graph."""
    from data_tools.notes.graph.printing import describe

    for line in describe(" ".join(args.disease)):
        print(line)
    return 0
