"""`mmfm cluster`: a real Slurm of several nodes on this machine, to try recipes on."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from launch.cli.words import add_command

UP = """\
  mmfm cluster up
  mmfm cluster exec mmfm pretrain RECIPE data.shards=SHARDS run.name=try cluster=testbed
  mmfm cluster exec squeue
  mmfm cluster down
"""


def add(commands: Any) -> None:
    """Add `cluster` and its subcommands."""
    parser = add_command(commands, "cluster", "bring up a test cluster: a real Slurm on this machine", UP)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    up = add_command(actions, "up", "start the cluster and wait until its nodes are idle", UP)
    up.add_argument("--nodes", type=int, default=4, help="nodes n1, n2, ... (default: %(default)s)")
    up.add_argument(
        "--cpus", type=int, default=4, help="cores that each node claims to have (default: %(default)s)"
    )
    up.add_argument(
        "--no-accounting",
        action="store_true",
        help="leave out the database: quicker, but sacct knows nothing",
    )
    up.set_defaults(run=run_up)
    down = add_command(actions, "down", "end the cluster; nothing of it is left")
    down.set_defaults(run=run_down)
    status = add_command(actions, "status", "show the cluster's nodes and jobs")
    status.set_defaults(run=run_status)
    shell = add_command(actions, "shell", "open a shell on the cluster's head, or on a node")
    shell.set_defaults(run=run_shell)
    execute = add_command(
        actions,
        "exec",
        "run one command on the cluster",
        "  mmfm cluster exec sinfo\n  mmfm cluster exec --node n2 hostname",
    )
    execute.set_defaults(run=run_exec)
    for inside in (shell, execute):
        inside.add_argument("--node", default="", help="the node to run on (default: the head)")
    for action in (up, down, status, shell, execute):
        action.add_argument(
            "--folder", type=Path, default=None, help="where the cluster is kept (default: in ~/.cache/mmfm)"
        )
    execute.add_argument("words", metavar="COMMAND ...", nargs=argparse.REMAINDER, help="what to run")


def run_up(args: argparse.Namespace) -> int:
    """Start a cluster and say how to use it."""
    from slurm.testbed.cluster import Cluster
    from slurm.testbed.layout import Layout

    began = time.monotonic()
    layout = Layout(str(_folder(args)), args.nodes, args.cpus, accounting=not args.no_accounting)
    cluster = Cluster.up(layout)
    where = f" --folder {args.folder}" if args.folder else ""
    print(f"""\
a Slurm cluster of {args.nodes} nodes is up after {time.monotonic() - began:.1f} s
  mmfm cluster shell{where}              a shell on it: sinfo, sbatch, squeue, sacct, mmfm
  mmfm cluster exec{where} COMMAND ...   one command on it
  mmfm cluster status{where}             its nodes and jobs
  mmfm cluster down{where}               end it
Recipes run on it with cluster=testbed. Logs of its daemons: {cluster.layout.log("x").parent}""")
    return 0


def run_down(args: argparse.Namespace) -> int:
    """End the cluster, or clean up after one that ended by itself."""
    from slurm.testbed.cluster import remove

    remove(_folder(args))
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Print nodes and jobs."""
    print(_cluster(args).status(), end="")
    return 0


def run_shell(args: argparse.Namespace) -> int:
    """Become a shell on the cluster."""
    return _become(args, [os.environ.get("SHELL", "/bin/bash")])


def run_exec(args: argparse.Namespace) -> int:
    """Become a command on the cluster."""
    from mmfm.errors import UserError

    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        raise UserError("nothing to run: `mmfm cluster exec sinfo`")
    return _become(args, words)


def _become(args: argparse.Namespace, words: list[str]) -> int:
    """Replace this process, so that signals and the terminal belong to the command alone."""
    cluster = _cluster(args)
    command = cluster.command(*words, node=args.node)
    os.execvpe(command[0], command, cluster.environment())


def _cluster(args: argparse.Namespace) -> Any:
    from slurm.testbed.cluster import Cluster

    return Cluster.find(_folder(args))


def _folder(args: argparse.Namespace) -> Path:
    from slurm.testbed.layout import default_folder

    return (args.folder or default_folder()).absolute()
