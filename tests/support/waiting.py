"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 240.0  # more than enough for anything here, also on a busy machine
POLL_SECONDS = 0.2


def until(ready: Callable[[], bool], told: Callable[[], str] | str, seconds: float = SECONDS) -> None:
    """Wait until `ready()`; the test fails with what `told` says if that takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"after {seconds:g} s: {told if isinstance(told, str) else told()}"
        time.sleep(POLL_SECONDS)
