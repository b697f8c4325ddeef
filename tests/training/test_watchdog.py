"""The watchdog, in processes that it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import until

from mmfm.config.schema import WatchdogConfig
from mmfm.training.beat import Beat, read_beats
from mmfm.training.failure import read_failures
from mmfm.training.watchdog import HANG_EXIT, collective_seconds

SECONDS = 60
RANK = """
import ctypes, sys, time
from pathlib import Path
from mmfm.config.schema import WatchdogConfig
from mmfm.training import watchdog
from mmfm.training.beat import Beat, read_beats
watchdog.LOOK_SECONDS, watchdog.BEAT_SECONDS, watchdog.GRACE_SECONDS = 0.05, 0.2, 1.0
rank, folder, story, limit = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])

def stuck_here():
    time.sleep(60)

with watchdog.Watchdog(WatchdogConfig(start_seconds=0, step_seconds=limit), rank, folder, 1) as ours:
    if story == "moves, then hangs":
        for step in range(1, 5):
            ours.phase("computing", step)
            time.sleep(1.0)
        ours.phase("waiting for data")
        stuck_here()
    if story == "waits":
        ours.phase("agreeing", 4)
        time.sleep(60)
    if story == "holds the lock":
        ours.phase("decoding", 3)
        while not read_beats(folder, 1):
            time.sleep(0.05)
        ctypes.PyDLL(None).sleep(60)
    if story == "is suspended":
        ours.phase("agreeing", 1)
        while not (folder / "go on").exists():
            time.sleep(0.05)
    if story == "starts":
        time.sleep(2.0)
print("left")
"""


def start(folder: Path, *stories: tuple[str, float]) -> list[subprocess.Popen[str]]:
    """Start processes with these stories and limits in seconds, side by side; each leads its own group."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(folder), story, str(limit)],
            env={**os.environ, "SLURMD_NODENAME": f"n{rank + 1}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for rank, (story, limit) in enumerate(stories)
    ]


def run(folder: Path, *stories: tuple[str, float]) -> list[tuple[int, str]]:
    """As `start`; returns the exit code of each process and what it printed."""
    ranks = start(folder, *stories)
    try:
        printed = [rank.communicate(timeout=SECONDS)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [(rank.returncode, text) for rank, text in zip(ranks, printed, strict=True)]


def test_a_rank_that_hangs_ends_and_every_rank_says_where_it_stands(tmp_path: Path) -> None:
    Beat(2, "n3", 1, "waiting for data", 3, since=0, time=0).write(tmp_path, 1)  # seen long ago
    (hung, its_words), (waited, other_words) = run(tmp_path, ("moves, then hangs", 3.0), ("waits", 0.0))
    assert (hung, waited) == (HANG_EXIT, HANG_EXIT)
    words = (
        r"watchdog: rank 0 on n1: no progress: waiting for data \(step 4\) for \d s \(watchdog.step_seconds=3"
    )
    assert re.search(words, its_words)
    assert "no sign of life: rank 2 on n3: waiting for data (step 3), last seen " in its_words
    assert "in stuck_here" in its_words
    assert "watchdog: rank 1 on n2: agreeing (step 4) for" in other_words
    assert "when another rank hung" in other_words
    first, second = read_failures(tmp_path, 1)
    assert (first.rank, first.kind, first.node) == (0, "hang", "n1")
    assert (second.rank, second.kind, second.node) == (1, "hang", "n2")
    assert [(beat.rank, beat.phase, beat.step) for beat in read_beats(tmp_path, 1)] == [
        (0, "waiting for data", 4),
        (1, "agreeing", 4),
        (2, "waiting for data", 3),
    ]


def test_a_rank_that_never_lets_go_of_the_interpreter_ends_as_well(tmp_path: Path) -> None:
    ((code, printed),) = run(tmp_path, ("holds the lock", 1.0))
    assert code not in (0, HANG_EXIT)
    assert "Aborted" in printed and 'File "<string>"' in printed


def test_a_rank_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path, ("starts", 1.0)) == [(0, "left\n")]  # 0 for its start is for ever
    assert read_failures(tmp_path, 1) == []


def test_a_rank_that_was_suspended_for_long_goes_on(tmp_path: Path) -> None:
    (rank,) = start(tmp_path, ("is suspended", 4.0))
    try:
        until(lambda: bool(read_beats(tmp_path, 1)), "no beat")
        os.killpg(rank.pid, signal.SIGSTOP)
        time.sleep(8.0)  # more than its limit and the grace time of the last resort
        resumed = time.time()
        os.killpg(rank.pid, signal.SIGCONT)
        until(lambda: read_beats(tmp_path, 1)[0].time > resumed or rank.poll() is not None, "no beat")
        (tmp_path / "go on").touch()
        printed = rank.communicate(timeout=SECONDS)[0]
    finally:
        rank.kill()
    assert (rank.returncode, printed) == (0, "left\n")


@pytest.mark.parametrize("limits", [(0, 5), (5, 0), (30, 60)])
def test_a_collective_may_take_longer_than_the_watchdog_waits(limits: tuple[int, int]) -> None:
    config = WatchdogConfig(*limits)
    assert collective_seconds(config) > max(limits)
    if 0 in limits:
        assert collective_seconds(config) > 86400
