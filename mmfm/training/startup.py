"""The parts of a start, which all ranks enter together, and between which they may be told to leave."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from mmfm import distributed
from mmfm.training.engine import run_on_first_rank
from mmfm.training.signals import StopFlag
from mmfm.training.watchdog import Watchdog

TICK_SECONDS = 5.0

Tick = Callable[[], None]  # called as work gets on, as often as one likes


class StoppedError(Exception):
    """A rank was told to stop before the first step. Raised on all ranks alike."""


class Startup:
    """The start of a run. All ranks have one and call it together, once the process group stands."""

    def __init__(self, stop: StopFlag, watchdog: Watchdog, device: torch.device) -> None:
        self._stop = stop
        self._watchdog = watchdog
        self._device = device
        self._name = ""

    def phase(self, name: str) -> None:
        """Say what part comes now. Collective: raises `StoppedError` on all ranks if one was told to stop."""
        self.leave_if_told()
        self._name = name
        self._renew()

    def leave_if_told(self) -> None:
        """Raise `StoppedError` on all ranks if one was told to stop. Collective."""
        self._agree(going=False)

    def on_first_rank(self, action: Callable[[Tick], None]) -> None:
        """Run `action(tick)` on rank 0 as `run_on_first_rank` does, for as long as it goes on calling `tick`.

        No rank's watchdog takes it for stuck, and it ends by `StoppedError` on all ranks when one is told to
        stop.
        """
        wrong: list[Exception] = []
        if distributed.rank() == 0:
            due = time.monotonic() + TICK_SECONDS

            def tick() -> None:
                nonlocal due
                if time.monotonic() >= due:
                    self._agree(going=True)
                    self._renew()
                    due = time.monotonic() + TICK_SECONDS

            try:
                action(tick)
            except StoppedError:
                raise
            except Exception as error:  # passed on below, not swallowed
                wrong.append(error)
            self._agree(going=False)
        else:
            while self._agree(going=False):
                self._renew()

        def settle() -> None:
            if wrong:
                raise wrong[0]

        run_on_first_rank(settle)

    def _agree(self, going: bool) -> bool:
        """Whether rank 0 is still at it (`going`). Raises `StoppedError` if a rank was told to stop."""
        flags = torch.tensor([self._stop.raised, going], dtype=torch.float64).to(self._device)
        told, goes_on = distributed.all_reduce_mean(flags).tolist()
        if told:
            raise StoppedError
        return bool(goes_on)

    def _renew(self) -> None:
        self._watchdog.phase(self._name, slow=True)
