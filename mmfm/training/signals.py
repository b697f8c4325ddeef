"""Stopping on purpose: a signal sets a flag, the ranks agree on it at a step boundary.

Nothing is saved inside a handler: a save is collective, and a handler runs on one rank at any moment.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopFlag:
    """Context in which stop signals only raise a flag; the earlier handlers come back at its end.

    Within another, as that of the launcher, it is up from the beginning if the other is.
    """

    def __init__(self) -> None:
        self.raised = False
        self.name = ""  # of the signal
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> StopFlag:
        self.heed()
        return self

    def heed(self) -> None:
        """From now on a stop signal raises this flag."""
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        outer = getattr(self._before[signal.SIGTERM], "__self__", None)
        if isinstance(outer, StopFlag) and outer.raised:
            self.raised, self.name = True, outer.name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.raised = True
        self.name = signal.Signals(number).name
