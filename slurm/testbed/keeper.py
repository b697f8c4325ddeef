"""The first process of the sandbox: brings the cluster up inside, then keeps it.

`unshare ... python -m slurm.testbed.keeper FOLDER`. It runs with network, mounts, host name and processes of
its own. When it ends, for whatever reason, the system ends every process of the sandbox with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mmfm.errors import UserError
from slurm.testbed import daemons, network
from slurm.testbed.daemons import Daemon
from slurm.testbed.layout import RUN, Layout


@dataclass(frozen=True)
class State:
    """How far the keeper is, as it tells those outside."""

    stage: str = "starting"
    ready: bool = False
    failed: str = ""

    def write(self, layout: Layout) -> None:
        """Replace the state file in one step."""
        draft = layout.state.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(layout.state)

    @classmethod
    def read(cls, layout: Layout) -> State:
        """The newest word; a fresh `State` if there is none yet."""
        return cls(**json.loads(layout.state.read_text())) if layout.state.exists() else cls()


def bring_up(layout: Layout) -> list[Daemon]:
    """Isolate the sandbox, lay its network and start its daemons, each once the one before it serves."""
    State("network").write(layout)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(RUN)], check=True, timeout=30)
    subprocess.run(["hostname", layout.head.name], check=True, timeout=30)
    network.mount_hosts(layout.etc / "hosts")
    network.lay_network(layout)
    steps = [daemons.start_munged]
    if layout.accounting:
        steps += [daemons.start_database, daemons.start_accounting]
    steps += [daemons.start_controller]
    started = []
    for step in steps:
        State(step.__name__.removeprefix("start_")).write(layout)
        started.append(step(layout))
    State("nodes").write(layout)
    nodes = [daemons.start_node(layout, node) for node in layout.workers]
    daemons.wait_for_nodes(layout, nodes)
    return started + nodes


def keep(running: list[Daemon]) -> None:
    """Reap whatever ends in the sandbox, and note it if it was a daemon. Returns when nothing is left."""
    names = {daemon.process.pid: daemon.name for daemon in running}
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return
        if pid in names:
            code = os.waitstatus_to_exitcode(status)
            print(f"{time.strftime('%H:%M:%S')} {names.pop(pid)} ended with {code}", flush=True)


def main() -> int:
    """Entry of the process."""
    layout = Layout.read(Path(sys.argv[1]))
    try:
        running = bring_up(layout)
    except (UserError, OSError, subprocess.SubprocessError) as error:
        State("failed", failed=str(error)).write(layout)
        return 1
    State("ready", ready=True).write(layout)
    keep(running)
    return 0


if __name__ == "__main__":
    sys.exit(main())
