from __future__ import annotations

import os
import signal

import pytest

from mmfm.training.signals import STOP_SIGNALS, StopFlag


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_stop_signal_only_raises_the_flag(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopFlag() as stop:
        assert not stop.raised
        os.kill(os.getpid(), number)
        assert stop.raised
    assert signal.getsignal(number) == before


def test_a_flag_within_another_knows_what_came_before() -> None:
    with StopFlag() as outer:
        with StopFlag() as inner:
            assert not inner.raised
        os.kill(os.getpid(), signal.SIGUSR2)
        with StopFlag() as inner:
            assert (inner.raised, inner.name) == (True, "SIGUSR2")
        assert outer.raised
