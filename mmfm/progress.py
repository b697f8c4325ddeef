"""Progress of long work: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
LOG_SECONDS = 10.0  # a plain log gets a line at most this often


def say(message: str) -> None:
    """Print one line for people to stderr, at once: stdout stays free for results."""
    print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far along they are. `total` defaults to their length, if they have one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    console = Console(stderr=True)
    return _with_bar(items, what, total, console) if console.is_terminal else _with_lines(items, what, total)


def _with_bar(items: Iterable[T], what: str, total: int | None, console: Console) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield from progress.track(items, total=total, description=what)


def _with_lines(items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    started = said = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - said >= LOG_SECONDS:
            said = time.monotonic()
            say(f"{what}: {done}{f' of {total}' if total else ''}")
    if done:
        say(f"{what}: {done} done in {time.monotonic() - started:.1f} s")
