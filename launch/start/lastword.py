"""The last word of a start that is told to stop before it trains: it is not to be counted as a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from threading import Thread

from mmfm.progress import say
from mmfm.training.failure import node_name
from mmfm.training.journal import Journal, Start
from mmfm.training.signals import STOP_SIGNALS

CLAIM_SECONDS = 0.5  # between two looks whether the start has the run by now
SINFO_SECONDS = 5  # Slurm kills soon after its signal


def promise_last_word(journal: Journal, start: Start, nodes: Sequence[str]) -> None:
    """Have a stop signal that comes before the first step written down at once, as `left`. Run by rank 0.

    A thread does it: the main one may be deep in a library, where Python handles no signal, until Slurm
    kills it. Where Slurm stops the start because one of its `nodes` is lost, nothing is written: that counts.
    """
    ear, voice = os.pipe()
    os.set_blocking(voice, False)
    signal.set_wakeup_fd(voice, warn_on_full_buffer=False)  # gets the number of each signal with a handler
    Thread(target=_wait, args=(ear, journal, start, nodes), name="last word", daemon=True).start()


def _wait(ear: int, journal: Journal, start: Start, nodes: Sequence[str]) -> None:
    heard = 0
    while heard not in STOP_SIGNALS:
        heard = os.read(ear, 1)[0]
    while journal.owner() != start:
        time.sleep(CLAIM_SECONDS)
    begun = any(event.name == "stepped" and event.start == start for event in journal.events())
    if begun or lost_nodes(nodes):  # training has its own way to leave
        return
    try:
        journal.append("left", start, cause=f"{signal.Signals(heard).name} on {node_name()}")
    except OSError as error:
        say(f"warning: 'left' is not in {journal.path}: {error}")


def lost_nodes(nodes: Sequence[str]) -> list[str]:
    """Those of `nodes` that Slurm has as down; none if it does not say."""
    command = ["sinfo", "-h", "-N", "-n", ",".join(nodes), "-t", "down", "-o", "%N"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SINFO_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return sorted(set(done.stdout.split()))
