"""What is written down when a stop signal comes before training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from launch.start import lastword
from mmfm.training.journal import Journal, Start

START = Start("7", 1)
# The main thread waits in C when the signal comes: no handler of Python's runs there.
RANK = """
import ctypes, sys
from pathlib import Path
from launch.start.lastword import promise_last_word
from mmfm.training.journal import Journal, Start
from mmfm.training.signals import StopFlag
StopFlag().heed()
promise_last_word(Journal(Path(sys.argv[1])), Start("7", 1), ["n1"])
print("here", flush=True)
lock = ctypes.create_string_buffer(64)
for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(lock)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


@pytest.mark.parametrize(
    ("stepped", "down", "told"), [(False, "", True), (False, "n2", False), (True, "", False)]
)
def test_a_signal_before_the_first_step_is_told_unless_a_node_is_lost(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stepped: bool, down: str, told: bool
) -> None:
    sinfo = tmp_path / "sinfo"
    sinfo.write_text(f"#!/bin/sh\necho {down}\n")
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    journal.claim(START)
    if stepped:
        journal.append("stepped", START, step=1)
    ear, voice = os.pipe()
    os.write(voice, bytes([signal.SIGCHLD, signal.SIGTERM]))
    lastword._wait(ear, journal, START, ["n1", "n2"])
    assert journal.left(START) == told
    journal.claim(Start("7", 2))
    assert [event.start for event in journal.failures()] == ([] if told else [START])


def test_it_is_told_while_the_main_thread_is_busy_in_a_library(journal: Journal) -> None:
    journal.claim(START)
    rank = subprocess.Popen([sys.executable, "-c", RANK, str(journal.path)], stdout=subprocess.PIPE)
    try:
        assert rank.stdout is not None and rank.stdout.readline() == b"here\n"
        rank.send_signal(signal.SIGTERM)
        until(lambda: journal.left(START), lambda: journal.path.read_text(), 60.0)
        assert rank.poll() is None
    finally:
        rank.kill()
        rank.communicate()
