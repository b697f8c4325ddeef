"""Watches a local job from outside: follows it, stops it cleanly, explains a failure, leaves no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from launch.local.controller import EXITS_FILE
from launch.local.follow import Follower, tail
from mmfm.errors import UserError
from mmfm.progress import say
from mmfm.training.failure import Failure, read_failures

POLL_SECONDS = 0.2
STOP_SECONDS = 60.0  # for the processes to finish the step, save and leave
TAIL_LINES = 25
USERS_OWN = ("user", "stale")  # kinds of failures that people read as a message, without a trace
ENDED_BY_SIGTERM = (-signal.SIGTERM, 128 + signal.SIGTERM)  # before the process had anything to save


class JobError(RuntimeError):
    """A process of the job failed; the message names it, its log and the log's last lines."""


class StoppedError(Exception):
    """The job was asked to stop, and has."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


def supervise(controller: subprocess.Popen[bytes], folder: Path, follower: Follower) -> None:
    """Wait for a local job. `folder` is its log folder.

    Raises `UserError` if a process did, `JobError` for other failures, `StoppedError` after a stop signal.
    """
    with _stop_requests() as requests:
        try:
            _watch(controller, follower, requests)
        finally:
            follower.close()
            _end_group(controller)
    if not requests:
        _explain(folder)
        return
    try:
        _explain(folder, harmless=ENDED_BY_SIGTERM)
    except (UserError, JobError) as error:
        say(f"while stopping: {error}")
    raise StoppedError(requests[0])


def _watch(controller: subprocess.Popen[bytes], follower: Follower, requests: list[int]) -> None:
    """Poll until the controller has ended. The first request asks the processes to stop, a second kills."""
    patience = float("inf")
    asked = False
    while not _has_ended(controller):
        follower.update()
        if requests and not asked:
            asked = True
            patience = time.monotonic() + STOP_SECONDS
            say(f"stopping: the processes save and leave, within {STOP_SECONDS:.0f} s (once more kills them)")
            controller.send_signal(signal.SIGTERM)
        if len(requests) > 1 or time.monotonic() > patience:
            say("killing the processes")
            return
        time.sleep(POLL_SECONDS)


def _has_ended(controller: subprocess.Popen[bytes]) -> bool:
    """Whether the controller has ended. It is not reaped yet, so that its id still names its group."""
    return os.waitid(os.P_PID, controller.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(controller: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the job's processes, then reap the controller."""
    os.killpg(controller.pid, signal.SIGKILL)
    controller.wait()


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    requests: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        requests.append(signum)

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _explain(folder: Path, harmless: tuple[int, ...] = ()) -> None:
    """Raise what went wrong, if anything did. Exit codes in `harmless` count as good ones."""
    exits_file = folder / EXITS_FILE
    if not exits_file.exists():
        raise JobError(
            f"the job's controller was killed before it could say how the job went; logs: {folder}"
        )
    exits = json.loads(exits_file.read_text())
    bad = [(entry["rank"], entry["code"]) for entry in exits["ended"] if entry["code"] not in (0, *harmless)]
    if not bad and (harmless or len(exits["ended"]) == exits["processes"]):
        return
    failures = read_failures(folder, start=0)
    by_signal = bool(bad) and bad[0][1] < 0  # whoever died first took the others along
    if not by_signal and any(failure.kind in USERS_OWN for failure in failures):
        raise UserError(next(failure.message for failure in failures if failure.kind in USERS_OWN))
    rank, what = _culprit(bad, [] if by_signal else failures)
    log = next(iter(folder.glob(f"*_{rank}_log.err")), folder)
    raise JobError("\n    ".join([what, f"log: {log}", *tail(log, TAIL_LINES)]))


def _culprit(bad: list[tuple[int, int]], failures: list[Failure]) -> tuple[int, str]:
    """The rank that failed first, and how. `bad`: (rank, exit code) in order of ending."""
    if failures:
        first = failures[0]
        return first.rank, f"rank {first.rank} failed: {first.type}: {first.message}"
    if not bad:
        return 0, "the time limit (cluster.hours) is over"
    rank, code = bad[0]
    if code < 0:
        return rank, f"rank {rank} was killed by {signal.Signals(-code).name}"
    return rank, f"rank {rank} ended with exit code {code}"
