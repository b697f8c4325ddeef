"""The watchdog: ends a process that is stuck in one place, and has every rank say where it stands.

A thread of each process looks on while the process names the phases that it enters. When one takes longer
than its limit, the thread prints the phase and the stacks of all threads, leaves a `Failure`, raises the
alarm for the other ranks, which then do the same, and ends the process. It also writes the beats of its rank.
Time for which the whole process was suspended does not count.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from mmfm.config.schema import WatchdogConfig
from mmfm.progress import say
from mmfm.training.beat import Beat, doing, read_beats
from mmfm.training.failure import Failure, leave, log_folder, node_name
from mmfm.training.guard import Guard
from mmfm.training.journal import Start

HANG_EXIT = 75  # exit code of a process that its watchdog ended
LOOK_SECONDS = 0.5
AWAY_LOOKS = 60  # in a row that the thread missed: the process was suspended
BEAT_SECONDS = 5.0  # between two beats, and two looks for an alarm, in a folder that many nodes share
GRACE_SECONDS = 2 * BEAT_SECONDS  # for the other ranks to speak, before the end of one ends them all
SILENT_SECONDS = 3 * BEAT_SECONDS  # without a beat of a rank: it was stopped or killed, or its node is lost
SHOWN = 8  # silent ranks in a message
EXIT_SECONDS = 120  # for a process that failed to leave: threads and libraries may keep it
FOREVER_SECONDS = 30 * 86400


@dataclass(frozen=True)
class Phase:
    """What the process does, since when (monotonic), and how long it may take (0 is for ever)."""

    name: str
    step: int
    since: float
    limit: float
    setting: str  # that the limit comes from


class Watchdog:
    """Context in which a process that is stuck ends with `HANG_EXIT`.

    `folder` is the job's log folder; without one (outside a job) the watchdog only prints and ends.
    """

    def __init__(self, limits: WatchdogConfig, rank: int, folder: Path | None = None, start: int = 0) -> None:
        self._limits = limits
        self._rank = rank
        self._folder = folder
        self._start = start
        self._over = Event()
        self._guard: Guard | None = None
        self._thread = Thread(target=self._look, name="watchdog", daemon=True)
        self._phase = self._begun("starting", 0, slow=True)

    @classmethod
    def of_environment(cls, limits: WatchdogConfig) -> Watchdog:
        """The watchdog of this process, by what its launcher has set."""
        start = Start.of_environment()
        return cls(limits, int(os.environ.get("RANK", 0)), log_folder(), start.count if start else 0)

    def __enter__(self) -> Watchdog:
        self._guard = Guard()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._guard is not None:
            self._guard.close()
        if kind is not None and self._folder is not None:  # a process of a job, which is about to end
            faulthandler.dump_traceback_later(EXIT_SECONDS, exit=True)

    def phase(self, name: str, step: int | None = None, slow: bool = False) -> None:
        """Say what comes now, at which step (as before by default). Slow phases have the limit of a start."""
        self._phase = self._begun(name, self._phase.step if step is None else step, slow)

    def _begun(self, name: str, step: int, slow: bool) -> Phase:
        setting = "start_seconds" if slow else "step_seconds"
        limit = getattr(self._limits, setting)
        return Phase(name, step, time.monotonic(), limit, f"watchdog.{setting}={limit:g}")

    def _look(self) -> None:
        beat_due = resumed = 0.0
        looked = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            phase, now = self._phase, time.monotonic()
            if now - looked > AWAY_LOOKS * LOOK_SECONDS:
                resumed = now
            looked = now
            spent = now - max(phase.since, resumed)
            where = f"{doing(phase.name, phase.step)} for {spent:.0f} s"
            late = bool(phase.limit) and spent > phase.limit
            if not late and now < beat_due:
                continue
            beat_due = now + BEAT_SECONDS
            self._beat(phase, spent)
            if late:
                self._end(f"no progress: {where} ({phase.setting}){self._silent()}")
            elif self._alarmed():
                self._end(f"{where} when another rank hung")

    def _beat(self, phase: Phase, spent: float) -> None:
        # Code that never lets go of the interpreter's lock stops this thread, but not the guard.
        if self._guard is not None:
            self._guard.allow(phase.limit + 2 * GRACE_SECONDS if phase.limit else FOREVER_SECONDS)
        if self._folder is None:
            return
        now = time.time()
        beat = Beat(self._rank, node_name(), os.getpid(), phase.name, phase.step, now - spent, now)
        with contextlib.suppress(OSError):  # a full disk; training may still go on
            beat.write(self._folder, self._start)

    def _end(self, message: str) -> None:
        """Say where this rank stands, have the others say it, and end the process."""
        failure = Failure(self._rank, "hang", message)
        say(f"watchdog: {failure}. The stacks of all threads:")
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        if self._folder is not None:
            try:
                leave(self._folder, self._start, failure)
                self._alarm(self._folder).touch()
            except OSError as error:
                say(f"warning: the watchdog cannot write into {self._folder}: {error}")
        time.sleep(GRACE_SECONDS)
        os._exit(HANG_EXIT)

    def _silent(self) -> str:
        """The ranks that can no longer speak for themselves, in words; at least they were seen."""
        beats = read_beats(self._folder, self._start) if self._folder else []
        gone = [str(beat) for beat in beats if time.time() - beat.time > SILENT_SECONDS]
        return f"; no sign of life: {'; '.join(gone[:SHOWN])}" if gone else ""

    def _alarmed(self) -> bool:
        return self._folder is not None and self._alarm(self._folder).exists()

    def _alarm(self, folder: Path) -> Path:
        """Exists when a rank of this start hangs."""
        return folder / f"hang_{self._start}"


def collective_seconds(limits: WatchdogConfig) -> float:
    """Time-out of the process group: longer than the watchdog's, which says more."""
    if not (limits.start_seconds and limits.step_seconds):
        return FOREVER_SECONDS
    return max(limits.start_seconds, limits.step_seconds) + 4 * GRACE_SECONDS
