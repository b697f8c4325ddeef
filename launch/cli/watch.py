"""`mmfm status`, `mmfm logs`, `mmfm cancel`, `mmfm requeue`: runs on Slurm and on this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from launch.cli.words import add_command

POLL_SECONDS = 1.0
WATCH_SECONDS = 10.0  # between two looks at the queue, which many people ask

STATUS = """\
  mmfm status
  mmfm status runs/first --watch
  mmfm status runs/first --events   what has happened to it, from its first submission on
"""
LOGS = """\
  mmfm logs -f runs/first
  mmfm logs --rank 3 --job 4711 runs/first
"""


def add(commands: Any) -> None:
    """Add the four subcommands."""
    status = add_command(commands, "status", "show runs: state, nodes, starts, step, speed", STATUS)
    status.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("runs"),
        help="run folder, or folder of runs (default: runs)",
    )
    how = status.add_mutually_exclusive_group()
    how.add_argument(
        "--watch",
        metavar="SECONDS",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        help="show it anew every so often, until Ctrl-C (default: 10 s)",
    )
    how.add_argument("--events", action="store_true", help="tell all that has happened to one run")
    how.add_argument("--svg", metavar="FILE", type=Path, help="write it as a picture of a terminal")
    status.set_defaults(run=run_status)
    logs = add_command(commands, "logs", "print the log of a run", LOGS)
    logs.add_argument("folder", type=Path, help="run folder")
    logs.add_argument("--rank", type=int, default=0, help="whose log (default: %(default)s)")
    logs.add_argument("--job", default="", help="of which job (default: the one that runs, or the last)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until Ctrl-C")
    logs.set_defaults(run=run_logs)
    cancel = add_command(commands, "cancel", "end a run on Slurm; it saves first", "  mmfm cancel runs/first")
    cancel.add_argument("folder", type=Path, help="run folder")
    cancel.set_defaults(run=run_cancel)
    requeue = add_command(
        commands,
        "requeue",
        "start a run on Slurm again: requeue it if it runs, else submit it once more",
        "  mmfm requeue runs/first",
    )
    requeue.add_argument("folder", type=Path, help="run folder")
    requeue.set_defaults(run=run_requeue)


def run_status(args: argparse.Namespace) -> int:
    """Print a table of runs, or the journal of one."""
    if args.events:
        return _print_events(args.folder)
    from rich.console import RenderableType

    from launch.watching.runjobs import find_runs
    from launch.watching.statustable import keep_showing, status_console, status_table, write_svg
    from launch.watching.watch import overview

    console = status_console()

    def table(width: int) -> RenderableType:
        return status_table(overview(find_runs(args.folder)), width)

    if args.watch is not None:
        keep_showing(lambda: table(console.width), args.watch, console)
    elif args.svg:
        write_svg(f"mmfm status {args.folder}", overview(find_runs(args.folder)), args.svg)
    else:
        console.print(table(console.width))
    return 0


def _print_events(run: Path) -> int:
    from launch.watching.chronicle import Chronicle
    from mmfm.errors import DataError

    chronicle = Chronicle.of(run)
    if not chronicle.events:
        raise DataError(f"{run} has no journal.jsonl: it is no run, or has never been started")
    for line in chronicle.told():
        print(line)
    return 0


def run_logs(args: argparse.Namespace) -> int:
    """Print a rank's log, and what is added to it if asked to follow."""
    from launch.local.follow import Tail
    from launch.watching.watch import log_file
    from mmfm.progress import say

    path = log_file(args.folder, args.rank, args.job, must_exist=not args.follow)
    if not path.exists():
        say(f"waiting for {path}")
    log = Tail(path)
    while True:
        for line in log.lines():
            print(line, flush=True)
        if not args.follow:
            return 0
        time.sleep(POLL_SECONDS)


def run_cancel(args: argparse.Namespace) -> int:
    """Cancel the jobs of a run."""
    from launch.watching.control import cancel

    jobs = ", ".join(cancel(args.folder))
    print(f"cancelled job {jobs}; the same mmfm command, or `mmfm requeue`, goes on from what it saved")
    return 0


def run_requeue(args: argparse.Namespace) -> int:
    """Have a run start again."""
    from launch.watching.control import requeue

    print(requeue(args.folder))
    return 0
