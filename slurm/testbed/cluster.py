"""A test cluster as its user sees it: up, commands on it, how it stands, down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mmfm.errors import UserError
from mmfm.progress import say
from slurm.testbed.files import write_files
from slurm.testbed.keeper import State
from slurm.testbed.layout import RECORD, Layout
from slurm.testbed.network import on_node
from slurm.testbed.packages import require_packages
from slurm.testbed.sandbox import Sandbox, clean_environment

UP_SECONDS = 180.0
POLL_SECONDS = 0.1
STATUS_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up."""

    layout: Layout
    sandbox: Sandbox

    @classmethod
    def up(cls, layout: Layout, owned: bool = False) -> Cluster:
        """Bring a cluster up; returns when all nodes are idle. If `owned`, it ends with this process.

        Raises `UserError` if packages are missing, one is up in that folder already, or a daemon fails; then
        nothing of it is left.
        """
        layout.check()
        require_packages(layout.accounting)
        _make_room(Path(layout.folder))
        layout.write()
        write_files(layout)
        sandbox = Sandbox.start(layout, owned)
        cluster = cls(layout, sandbox)
        try:
            cluster._wait()
        except BaseException:
            cluster.down()
            raise
        return cluster

    @classmethod
    def find(cls, folder: Path) -> Cluster:
        """The cluster that is up in `folder`. Raises `UserError` if there is none."""
        layout = Layout.read(folder)
        sandbox = Sandbox.read(folder)
        if sandbox is None or not sandbox.alive():
            raise UserError(f"the test cluster at {folder} is no longer up: start it with `mmfm cluster up`")
        return cls(layout, sandbox)

    def down(self) -> None:
        """End every process of the cluster and delete its folder."""
        self.sandbox.end()
        shutil.rmtree(self.layout.folder)

    def command(self, *words: str, node: str = "") -> list[str]:
        """`words` as a command on the head or on a node, in this process's working folder."""
        names = [worker.name for worker in self.layout.workers]
        if node and node not in names:
            raise UserError(f"no node {node!r}: the cluster has {', '.join(names)}")
        return self.sandbox.command([*(on_node(node) if node else []), *words], self.layout, Path.cwd())

    def environment(self) -> dict[str, str]:
        """The environment for commands on the cluster: this one, without another cluster's settings.

        `mmfm` and `python` are found there, also if the virtual environment was not activated.
        """
        clean = clean_environment(os.environ)
        return {**clean, "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}"}

    def run(self, *words: str, node: str = "", timeout: float = 60) -> str:
        """Run a command on the cluster and return what it prints.

        Raises `subprocess.SubprocessError` if it fails or takes longer than `timeout` seconds.
        """
        done = subprocess.run(
            self.command(*words, node=node),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise subprocess.SubprocessError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def status(self) -> str:
        """Nodes and jobs, as sinfo and squeue show them."""
        nodes = self.run("sinfo", "-N", "-o", "%8N %10P %10T %6c %8G %E", timeout=STATUS_SECONDS)
        jobs = self.run("squeue", "-o", "%8i %24j %10T %10M %6D %R", timeout=STATUS_SECONDS)
        return f"{nodes}\n{jobs}"

    def _wait(self) -> None:
        """Follow the keeper until it says that it is ready. Raises `UserError` if it fails."""
        end = time.monotonic() + UP_SECONDS
        while not (state := State.read(self.layout)).ready:
            if state.failed or not self.sandbox.alive():
                state = State.read(self.layout)  # its last word
                raise UserError(f"the test cluster did not come up: {state.failed or self._last_words()}")
            if time.monotonic() > end:
                raise UserError(f"the test cluster is not up after {UP_SECONDS:g} s (at: {state.stage})")
            time.sleep(POLL_SECONDS)

    def _last_words(self) -> str:
        words = self.layout.log("sandbox").read_text(errors="replace").strip()
        hint = ""
        if "not permitted" in words or "denied" in words:
            hint = (
                "\nThis machine does not let you make namespaces. Run as root, allow unprivileged user "
                "namespaces, or give the container CAP_SYS_ADMIN."
            )
        return words + hint


def remove(folder: Path) -> None:
    """End the cluster in `folder` and delete the folder, also if only leftovers are there.

    Raises `UserError` if no cluster was ever there.
    """
    Layout.read(folder)
    sandbox = Sandbox.read(folder)
    if sandbox is not None:
        sandbox.end()
    shutil.rmtree(folder)


def _make_room(folder: Path) -> None:
    """Have `folder` not exist. Raises `UserError` if a cluster is up there or it holds something else."""
    if not folder.exists():
        return
    sandbox = Sandbox.read(folder)
    if sandbox is not None and sandbox.alive():
        raise UserError(f"a test cluster is up at {folder} already: `mmfm cluster down` ends it")
    if any(folder.iterdir()) and not (folder / RECORD).exists():
        raise UserError(f"{folder} holds other files: give --folder one that does not exist")
    if (folder / RECORD).exists():
        say(f"removing what a cluster that ended left at {folder}")
    shutil.rmtree(folder)
