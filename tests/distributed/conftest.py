"""`run_ranks`: run a function in several gloo processes and get each one's result.

This file is also what the processes run: `python conftest.py SOURCE FUNCTION INPUT OUTPUT`.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RanksRunner = Callable[..., list[Any]]


@pytest.fixture
def run_ranks(tmp_path: Path) -> RanksRunner:
    """`run_ranks(fn, world, *args, timeout=120)` -> results of `fn(rank, world, *args)`, by rank.

    `fn` is a function at the top level of a file; its arguments and result can be pickled. Each rank is a
    fresh process in one gloo group, with one thread. A rank that raises, dies or is not done in time fails
    the test with what it printed; no process is left behind.
    """

    def run(fn: Callable[..., Any], world: int, *args: Any, timeout: float = 120.0) -> list[Any]:
        folder = tmp_path / f"ranks-{time.monotonic_ns()}"
        folder.mkdir()
        (folder / "args").write_bytes(pickle.dumps(args))
        ranks = [_start(fn, rank, world, port, folder) for port in [_free_port()] for rank in range(world)]
        try:
            _wait(ranks, folder, time.monotonic() + timeout)
        finally:
            for process in ranks:
                process.kill()
                process.wait()
        return [pickle.loads((folder / f"{rank}.result").read_bytes()) for rank in range(world)]

    return run


def _start(fn: Callable[..., Any], rank: int, world: int, port: int, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, __file__, fn.__code__.co_filename, fn.__name__, str(folder)]
    with (folder / f"{rank}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def _wait(ranks: list[subprocess.Popen[bytes]], folder: Path, deadline: float) -> None:
    """Return when every rank has written its result. A failed rank ends the wait for the others."""
    while True:
        codes = [process.poll() for process in ranks]
        done = [(folder / f"{rank}.result").exists() for rank in range(len(ranks))]
        if all(done):
            return
        failed = [rank for rank, code in enumerate(codes) if code is not None and not done[rank]]
        # Look again: a rank may have ended between the two looks.
        failed = [rank for rank in failed if not (folder / f"{rank}.result").exists()]
        late = [rank for rank in range(len(ranks)) if not done[rank]] if time.monotonic() > deadline else []
        if failed or late:
            logs = "\n".join(f"rank {r}:\n{(folder / f'{r}.log').read_text()}" for r in failed or late)
            pytest.fail(f"ranks {failed} failed, ranks {late} gave no result in time\n{logs}", pytrace=False)
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _main(source: str, name: str, folder: Path) -> None:
    """One rank: join the group, run the function, write its result by rename."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    result = _function(source, name)(rank, world, *pickle.loads((folder / "args").read_bytes()))
    distributed.barrier()
    (folder / f"{rank}.part").write_bytes(pickle.dumps(result))
    (folder / f"{rank}.part").rename(folder / f"{rank}.result")
    distributed.destroy_process_group()


def _function(source: str, name: str) -> Callable[..., Any]:
    """A function of a test file, which is not part of an importable package."""
    spec = importlib.util.spec_from_file_location("ranks_source", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(module, name)
    return function


if __name__ == "__main__":
    try:
        _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # at once: leaving a broken group cleanly could wait for the other ranks
