"""Work in a process that ends by SIGKILL at a chosen place."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any


def run_until_killed(work: Callable[[], object], module: ModuleType, function: str, call: int) -> None:
    """Run `work` in a process that is killed in the given call of a function of `module`."""

    def run() -> None:
        true, calls = getattr(module, function), 0

        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return true(*arguments, **named)

        setattr(module, function, counted)
        work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
