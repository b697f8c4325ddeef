"""The daemons of a test cluster: how each is started, and how one knows that it serves."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmfm.errors import UserError
from slurm.testbed.layout import RUN, Layout, Node
from slurm.testbed.network import on_node

POLL_SECONDS = 0.05
TAIL_LINES = 15
ASK_SECONDS = 15  # for one question to a daemon
DATABASE = RUN / "database"
DATABASE_PORT = 3306
ACCOUNTING_PORT = 6819
INSTALLS = 3  # tries to make the database


@dataclass
class Daemon:
    """A daemon in the foreground of its own session."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, log: Path, command: list[str]) -> Daemon:
        """Start it; what it prints goes to the end of `log`."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        return cls(name, log, process)

    def wait(self, ready: Callable[[], bool], seconds: float) -> Daemon:
        """Wait until it serves. Raises `UserError` with its log's last lines if it ends or takes too long."""
        end = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise UserError(f"{self.name} ended with {self.process.returncode}\n{_tail(self.log)}")
            if time.monotonic() > end:
                raise UserError(f"{self.name} does not serve after {seconds:g} s\n{_tail(self.log)}")
            time.sleep(POLL_SECONDS)
        return self


def start_munged(layout: Layout) -> Daemon:
    """The authentication service; its key is made here and ends with the sandbox."""
    key, socket_file = RUN / "munge.key", RUN / "munge.sock"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    files = {
        "key-file": key,
        "socket": socket_file,
        "pid-file": RUN / "munged.pid",
        "seed-file": RUN / "munge.seed",
        "log-file": layout.log("munged"),
    }
    # --force: munged mistrusts folders that in a user namespace seem to belong to nobody
    options = [f"--{name}={path}" for name, path in files.items()]
    daemon = Daemon.start("munged", layout.log("munged"), ["munged", "--foreground", "--force", *options])
    return daemon.wait(socket_file.exists, 20)


def start_database(layout: Layout) -> Daemon:
    """MariaDB with its data in the sandbox's memory, listening on the loopback only."""
    log = layout.log("mariadbd")
    common = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={DATABASE}"]
    small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M"]
    for _ in range(INSTALLS):  # on a machine under load it fails now and then
        with log.open("ab") as file:
            made = subprocess.run(
                ["mariadb-install-db", *common, *small, "--auth-root-authentication-method=normal"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=120,
                check=False,
            )
        if not made.returncode:
            break
        shutil.rmtree(DATABASE, ignore_errors=True)
    else:
        errors = "".join(line for line in log.read_text(errors="replace").splitlines(True) if "ERROR" in line)
        raise UserError(f"mariadb-install-db failed\n{errors or _tail(log)}")
    options = [
        f"--socket={RUN / 'database.sock'}",
        f"--pid-file={RUN / 'database.pid'}",
        "--bind-address=127.0.0.1",
        f"--port={DATABASE_PORT}",
        f"--init-file={layout.etc / 'database.sql'}",
    ]
    daemon = Daemon.start("mariadbd", log, ["mariadbd", *common, *small, *options])
    return daemon.wait(lambda: _listens("127.0.0.1", DATABASE_PORT), 60)


def start_accounting(layout: Layout) -> Daemon:
    """slurmdbd, which sacct asks."""
    log = layout.log("slurmdbd")
    command = ["env", f"SLURM_CONF={layout.slurm_conf}", "slurmdbd", "-D"]
    daemon = Daemon.start("slurmdbd", log, command)
    return daemon.wait(lambda: _listens(layout.head.address, ACCOUNTING_PORT), 60)


def start_controller(layout: Layout) -> Daemon:
    """slurmctld."""
    (RUN / "slurm" / "state").mkdir(parents=True)
    (RUN / "slurm" / "spool").mkdir()
    daemon = Daemon.start(
        "slurmctld", layout.log("slurmctld"), ["slurmctld", "-D", "-f", str(layout.slurm_conf)]
    )
    return daemon.wait(lambda: "is UP" in _ask(layout, "scontrol", "ping"), 30)


def start_node(layout: Layout, node: Node) -> Daemon:
    """The slurmd of one node, in that node's namespaces."""
    command = [*on_node(node.name), "slurmd", "-D", "-N", node.name, "-f", str(layout.slurm_conf)]
    name = f"slurmd-{node.name}"
    return Daemon.start(name, layout.log(name), command)


def wait_for_nodes(layout: Layout, daemons: list[Daemon], seconds: float = 60) -> None:
    """Wait until Slurm finds every node idle. Raises `UserError` with the log of a node that is not."""

    def idle() -> set[str]:
        lines = _ask(layout, "sinfo", "-h", "-N", "-o", "%N %t").splitlines()
        return {f"slurmd-{line.split()[0]}" for line in lines if line.split()[1:] == ["idle"]}

    for daemon in daemons:
        daemon.wait(lambda name=daemon.name: name in idle(), seconds)  # type: ignore[misc]


def _ask(layout: Layout, *command: str) -> str:
    """What a Slurm client answers; empty if nothing in time."""
    environment = {**os.environ, "SLURM_CONF": str(layout.slurm_conf)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
    return "\n".join([f"last lines of its log, {log}:", *(f"    {line}" for line in lines)])
