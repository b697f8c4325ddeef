"""`mmfm status`, `mmfm logs`, `mmfm cancel`: runs that were submitted to Slurm."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from launch.cli.words import add_command

POLL_SECONDS = 1.0


def add(commands: Any) -> None:
    """Add the three subcommands."""
    status = add_command(
        commands,
        "status",
        "show the runs on Slurm: state, step, speed",
        "  mmfm status\n  mmfm status runs/first",
    )
    status.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("runs"),
        help="run folder, or folder of runs (default: runs)",
    )
    status.set_defaults(run=run_status)
    logs = add_command(
        commands, "logs", "print the log of a run on Slurm", "  mmfm logs -f --rank 3 runs/first"
    )
    logs.add_argument("folder", type=Path, help="run folder")
    logs.add_argument("--rank", type=int, default=0, help="whose log (default: %(default)s)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until Ctrl-C")
    logs.set_defaults(run=run_logs)
    cancel = add_command(commands, "cancel", "end a run on Slurm; it saves first", "  mmfm cancel runs/first")
    cancel.add_argument("folder", type=Path, help="run folder")
    cancel.set_defaults(run=run_cancel)


def run_status(args: argparse.Namespace) -> int:
    """Print a table of runs."""
    from rich.console import Console
    from rich.table import Table

    from launch.watch import job_states, newest_job, progress, submitted_runs
    from mmfm.errors import DataError

    runs = submitted_runs(args.folder)
    if not runs:
        raise DataError(f"no run at or below {args.folder} was submitted to Slurm")
    jobs = {run: newest_job(run) for run in runs}
    states = job_states(list(jobs.values()))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("run", "job", "state", "nodes", "starts", "step", "loss", "samples/s", "left", "waits for"):
        table.add_column(name)
    for run, job in jobs.items():
        state, done = states[job], progress(run)
        starts = str(int(state.restarts) + 1) if state.restarts and state.state == "running" else ""
        table.add_row(
            *(
                str(run),
                job,
                state.state,
                state.nodes,
                starts,
                f"{done.step}/{done.steps}" if done.steps else "",
            ),
            "" if done.loss is None else f"{done.loss:.3f}",
            f"{done.samples_per_s:.0f}" if state.state == "running" and done.step else "",
            f"{done.hours_left:.1f} h" if state.state == "running" and done.hours_left is not None else "",
            state.reason,
        )
    Console().print(table)
    return 0


def run_logs(args: argparse.Namespace) -> int:
    """Print a rank's log, and what is added to it if asked to follow."""
    from launch.follow import Tail
    from launch.watch import log_file

    log = Tail(log_file(args.folder, args.rank))
    while True:
        for line in log.lines():
            print(line, flush=True)
        if not args.follow:
            return 0
        time.sleep(POLL_SECONDS)


def run_cancel(args: argparse.Namespace) -> int:
    """Cancel the newest job of a run."""
    from launch.watch import cancel

    print(f"cancelled job {cancel(args.folder)}; the same mmfm command goes on from what it saved")
    return 0
