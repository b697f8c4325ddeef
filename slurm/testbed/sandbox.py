"""The sandbox: namespaces of network, mounts, host name and processes, held by one process from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from slurm.testbed.layout import Layout
from slurm.testbed.packages import search_path

RECORD = "sandbox.json"
NAMESPACES = ("net", "mount", "uts", "pid")
END_SECONDS = 20.0
POLL_SECONDS = 0.05
PROJECT = Path(__file__).resolve().parents[2]
ENTER = Path(__file__).with_name("enter.py")


@dataclass(frozen=True)
class Sandbox:
    """The process that holds the namespaces. `born` tells it from a later process with its number."""

    pid: int
    born: str

    @classmethod
    def start(cls, layout: Layout, owned: bool) -> Sandbox:
        """Start the keeper in fresh namespaces. If `owned`, they end with the process that calls this."""
        command = [
            *(["setpriv", "--pdeathsig", "KILL"] if owned else []),
            "unshare",
            # Without root, in a user namespace in which the user stays who he is: slurmdbd refuses another.
            *([] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]),
            *(f"--{name}" for name in NAMESPACES),
            *("--fork", "--mount-proc", "--kill-child", "--"),
            *(sys.executable, "-m", "slurm.testbed.keeper", layout.folder),
        ]
        with layout.log("sandbox").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**clean_environment(os.environ), "PYTHONPATH": str(PROJECT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        sandbox = cls(process.pid, _born(process.pid))
        (Path(layout.folder) / RECORD).write_text(json.dumps(asdict(sandbox)))
        return sandbox

    @classmethod
    def read(cls, folder: Path) -> Sandbox | None:
        """The sandbox recorded in `folder`, or None."""
        path = folder / RECORD
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def alive(self) -> bool:
        """Whether its process still runs."""
        _reap(self.pid)
        return bool(self.born) and _born(self.pid) == self.born

    def command(self, words: list[str], layout: Layout, folder: Path) -> list[str]:
        """`words` as a command inside the sandbox, in the working folder `folder`."""
        enter = [sys.executable, "-I", str(ENTER), str(self.pid), str(folder)]
        return [*enter, "env", f"SLURM_CONF={layout.slurm_conf}", *words]

    def end(self) -> None:
        """Kill its process, and with it all that runs inside; return when nothing of it is left."""
        if not self.alive():
            return
        space = _namespace(self.pid, "pid_for_children")
        os.kill(self.pid, signal.SIGKILL)  # unshare takes its child along, and that one all others
        end = time.monotonic() + END_SECONDS
        while self.alive() or (space and _inhabitants(space)):
            if time.monotonic() > end:
                raise RuntimeError(f"processes of the sandbox do not end: {_inhabitants(space)}")
            time.sleep(POLL_SECONDS)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what an enclosing job or another cluster says of itself, with daemons' PATH."""
    foreign = re.compile(r"(SLURM|SLURMD|SBATCH|SRUN|SQUEUE|SINFO|SACCT|SCANCEL|SALLOC|SUBMITIT)_")
    kept = {name: value for name, value in environment.items() if not foreign.match(name)}
    return {**kept, "PATH": search_path()}


def _born(pid: int) -> str:
    """When a process started, in ticks since boot; empty if there is none or it only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _reap(pid: int) -> None:
    """Collect the exit code if the process was started here."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _namespace(pid: int | str, kind: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""


def _inhabitants(space: str) -> list[int]:
    """Processes that live in a process namespace."""
    pids = (path.name for path in Path("/proc").iterdir() if path.name.isdigit())
    return [int(pid) for pid in pids if _namespace(pid, "pid") == space]
