"""The guard: a small process that ends a rank whose interpreter is stuck, so that no thread of it can.

It counts the time that it runs itself: while Slurm suspends a job, the guard stands still as well.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import subprocess
import sys
import time

LOOK_SECONDS = 0.5


class Guard:
    """Ends this process, with the stacks of all threads, when it has not asked for more time."""

    def __init__(self) -> None:
        faulthandler.enable()  # prints the stacks where it is aborted
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)

    def allow(self, seconds: float) -> None:
        """Give this process so much time from now on."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            self._process.stdin.write(f"{seconds}\n".encode())

    def close(self) -> None:
        """Do without it from now on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(guarded: int) -> None:
    """Entry of the process, which ends with its input."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):  # not meant for it
        signal.signal(number, signal.SIG_IGN)
    left = float("inf")
    while left > 0:
        asked = time.monotonic()
        if select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
            told = os.read(sys.stdin.fileno(), 1024)
            if not told:
                return
            left = float(told.split()[-1])
        else:
            left -= min(time.monotonic() - asked, 2 * LOOK_SECONDS)
    os.kill(guarded, signal.SIGABRT)


if __name__ == "__main__":
    main(int(sys.argv[1]))
