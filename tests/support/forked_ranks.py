"""Ranks forked from one process that has imported everything: a start takes a second, not ten.

    with RankForker() as forker:
        results = forker.run(fn, world, *args)  # of fn(rank, world, *args), by rank

`fn` stands at the top level of a file. Its rank finds RANK, WORLD_SIZE, MASTER_PORT, ... in its environment,
as the launcher sets them, and no process group yet. This file is also the process that forks: it reads calls
from its input and answers with their results, or with what the failed ranks printed.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

SECONDS = 120  # for one call


class RankForker:
    """The forking process, from `with` to its end."""

    def __enter__(self) -> RankForker:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, fn: Callable[..., Any], world: int, *args: Any) -> list[Any]:
        """Results of `fn(rank, world, *args)`, by rank. A rank that fails or is late fails the test."""
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump((fn.__code__.co_filename, fn.__name__, world, args), self._process.stdin)
        self._process.stdin.flush()
        results, printed = pickle.load(self._process.stdout)
        assert results is not None, printed
        return list(results)


def serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until there are no more."""
    while True:
        try:
            source, name, world, args = pickle.load(calls)
        except EOFError:
            return
        pickle.dump(call(function(source, name), world, args), answers)
        answers.flush()


def call(fn: Callable[..., Any], world: int, args: tuple[Any, ...]) -> tuple[list[Any] | None, str]:
    """(results by rank, ""), or (None, what the ranks printed)."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        ranks = {fork(fn, rank, world, args, port, folder): rank for rank in range(world)}
        deadline = time.monotonic() + SECONDS
        failed = False
        while ranks:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                failed |= status != 0
                del ranks[pid]
                continue
            if failed or time.monotonic() > deadline:  # the others would wait for the failed one
                for pid in ranks:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                ranks, failed = {}, True
            time.sleep(0.01)
        if failed:
            return None, "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
        return [pickle.loads((folder / f"{rank}.result").read_bytes()) for rank in range(world)], ""


def fork(fn: Callable[..., Any], rank: int, world: int, args: Any, port: int, folder: Path) -> int:
    """Start one rank and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        log = os.open(folder / f"{rank}.log", os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        (folder / f"{rank}.result").write_bytes(pickle.dumps(fn(rank, world, *args)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def function(source: str, name: str) -> Callable[..., Any]:
    """A function of a test file, which is read once."""
    if source not in sys.modules:
        spec = importlib.util.spec_from_file_location(source, source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[source] = module
        spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(sys.modules[source], name)
    return found


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what modules print while they are imported is no answer
    serve(sys.stdin.buffer, answers)
