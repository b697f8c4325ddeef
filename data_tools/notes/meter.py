"""How the writing of notes gets on: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_tools.notes.store import Entry
from mmfm.progress import LOG_SECONDS, say

ALL_FAILED = 50  # so many failures at first, and not one note, are worth a line
SHOWN_DETAIL = 300  # characters of a reason


def money(cost: float) -> str:
    """A cost, in whatever currency the prices have."""
    return f"{cost:,.2f}" if cost >= 1 else f"{cost:.4g}"


class Meter:
    """Counts entries as they come, and shows done, failed, tokens per minute and cost."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.written = 0
        self.passed = 0  # written by others meanwhile
        self.failed: Counter[str] = Counter()
        self.tokens_in = self.tokens_out = 0
        self.cost = 0.0
        self._began = self._said = time.monotonic()
        self._bar: Progress | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def tokens_per_minute(self) -> float:
        """Tokens of prompts and answers per minute so far."""
        return 60 * (self.tokens_in + self.tokens_out) / max(self.seconds, 1e-3)

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        self.tokens_in += entry.tokens_in
        self.tokens_out += entry.tokens_out
        self.cost += entry.cost
        if entry.failure:
            self.failed[entry.failure] += 1
            self._warn(entry)
        else:
            self.written += 1
        self._show()

    def skip(self) -> None:
        """Count a note that another process has written meanwhile."""
        self.passed += 1
        self._show()

    def __str__(self) -> str:
        parts = [self._failures()]
        parts.append(f"{self.tokens_per_minute:,.0f} tokens/min" if self.tokens_in + self.tokens_out else "")
        parts.append(f"cost {money(self.cost)}" if self.cost else "")
        return ", ".join(part for part in parts if part)

    def __enter__(self) -> Meter:
        console = Console(stderr=True)
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[state]}"), console=console
            )
            self._task = self._bar.add_task(self.what, total=self.total, state="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        else:
            self._say()

    def _failures(self) -> str:
        """How many failed, and of which kind most."""
        if not self.failed:
            return ""
        kind, count = self.failed.most_common(1)[0]
        return f"{self.failed.total()} failed ({kind} {count})"

    def _warn(self, entry: Entry) -> None:
        """Say it once where nothing but failures comes: every one of them may be paid for."""
        if self.failed.total() != ALL_FAILED or self.written:
            return
        why = " ".join(entry.detail.split())[:SHOWN_DETAIL] or "no more is known"
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.failed.most_common())
        line = f"{self.what}: the first {ALL_FAILED} all failed ({kinds}), the last: {why}"
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            say(line)

    def _show(self) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, state=str(self))
        elif time.monotonic() - self._said >= LOG_SECONDS:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        state = f", {self}" if str(self) else ""
        say(f"{self.what}: {self._done} of {self.total} in {self.seconds:.0f} s{state}")

    @property
    def _done(self) -> int:
        return self.written + self.failed.total() + self.passed
