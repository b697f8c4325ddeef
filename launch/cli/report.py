"""`mmfm report`: one page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from launch.cli.words import add_command


def add(commands: Any) -> None:
    """Add the subcommand."""
    examples = "  mmfm report runs/demo\n  mmfm report runs/first -o first.html"
    parser = add_command(
        commands, "report", "write one self-contained page about a run, or a folder of runs", examples
    )
    parser.add_argument("folder", type=Path, help="run folder, or folder that holds several")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: report.html in the folder"
    )
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Write the report and print its path."""
    from mmfm.reports import write_report

    print(write_report(args.folder, args.output))
    return 0
