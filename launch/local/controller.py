"""The process between `mmfm` and the ranks of a local job: starts them, passes signals on, ends them all.

`python -m launch.local.controller FOLDER` is started by `executor.py`. It differs from submitit's own in that
the death of one rank ends the others (they would wait for it for ever), that it records who ended how,
and that it does not outlive the command that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths
from submitit.local.local import Controller, LocalJobEnvironment

from launch.start.lifeline import end_with_parent

EXITS_FILE = "exits.json"
JOB_ID_VARIABLE = "MMFM_LOCAL_JOB_ID"
GRACE_SECONDS = 5.0  # for the other ranks to fail by themselves and say why, once one has failed


class RankController(Controller):
    """Runs the ranks of one job once and writes `exits.json` into the job's log folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pid = os.environ[JOB_ID_VARIABLE]
        self.folder = JobPaths(folder, self.pid).folder
        self.ended: dict[int, int] = {}  # rank -> exit code (minus the signal's number), in order of ending
        self.stopping = False

    def run(self, max_retry: int = 1) -> None:
        """Start the ranks, wait for all of them, leave none behind."""
        try:
            if not self.stopping:
                self.start_tasks()
                self.wait()
        finally:
            self._record()
            self.kill_tasks()

    def wait(self, freq: int = 20) -> Sequence[int | None]:
        """Wait until all ranks have ended, one has failed, or the time limit is over."""
        deadline = time.monotonic() + self.timeout_s
        warned = False
        while len(self.ended) < self.ntasks and time.monotonic() < deadline:
            self._note_ended()
            if any(self.ended.values()):
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            if (
                not warned
                and time.monotonic() > deadline - self.signal_delay_s
                and not any(self.ended.values())
            ):
                warned = True  # time is nearly over: ask the ranks to save and leave
                super()._forward_signal(LocalJobEnvironment._usr_sig())
            time.sleep(1.0 / freq)
        return [self.ended.get(rank) for rank in range(self.ntasks)]

    def _forward_signal(self, signum: Any, *args: Any) -> None:
        self.stopping = self.stopping or signum == signal.SIGTERM
        super()._forward_signal(signum, *args)

    def _note_ended(self) -> None:
        for rank, task in enumerate(self.tasks):
            if rank not in self.ended and task.poll() is not None:
                self.ended[rank] = task.returncode

    def _record(self) -> None:
        exits = [{"rank": rank, "code": code} for rank, code in self.ended.items()]
        text = json.dumps({"processes": self.ntasks, "ended": exits})
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{EXITS_FILE}.tmp"
        draft.write_text(text)
        draft.rename(self.folder / EXITS_FILE)


def main() -> None:
    """Entry of the controller's process."""
    end_with_parent(signal.SIGTERM)
    RankController(Path(sys.argv[1])).run()


if __name__ == "__main__":
    main()
