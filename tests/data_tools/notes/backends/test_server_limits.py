"""Rate limits, outages, waits and refusals, each on its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.config import ServerConfig, WriterConfig
from data_tools.notes.backends import server_session
from data_tools.notes.backends.refusal import refusal_in
from data_tools.notes.backends.server_errors import Problem, wait_of
from data_tools.notes.backends.server_limits import (
    BURST_SECONDS,
    FEWEST_FAILING,
    FIRST_PAUSE,
    FIRST_REJECTED,
    LIMITED_SECONDS,
    LONGEST_PAUSE,
    OUTAGE_SECONDS,
    Bucket,
    Circuit,
    Pause,
)

CUT = Problem("cut", "gone", "again", server=True)
UNREACHABLE = Problem("unreachable", "refused", "again", server=True)
LIMITED = Problem("http 429", "HTTP 429: slow down", "again", limited=True)
MALFORMED = Problem("http 400", "HTTP 400: no", "fail")


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


@given(
    st.floats(1, 1e5),
    st.lists(st.tuples(st.floats(0.1, 3000), st.floats(0, 5)), min_size=1, max_size=30),
)
def test_a_bucket_gives_no_more_than_its_rate(per_minute: float, takes: list[tuple[float, float]]) -> None:
    clock = Clock()
    taken: list[tuple[float, float]] = []

    async def run() -> None:
        bucket = Bucket(per_minute, clock.now, clock.sleep)
        for amount, pause in takes:
            clock.time += pause
            await bucket.take(amount)
            taken.append((clock.time, amount))

    asyncio.run(run())
    rate = per_minute / 60
    for first, (start, _) in enumerate(taken):
        for last in range(first, len(taken)):
            window, amounts = taken[last][0] - start, [amount for _, amount in taken[first:last]]
            # All but the last are paid for by what was saved up and what flowed in since.
            assert sum(amounts) <= rate * (window + BURST_SECONDS) * (1 + 1e-6) + 1e-6


def test_a_bucket_without_limit_never_waits() -> None:
    clock = Clock()

    async def run() -> None:
        bucket = Bucket(0, clock.now, clock.sleep)
        for _ in range(100):
            await bucket.take(1e9)

    asyncio.run(run())
    assert clock.time == 0


def test_a_bucket_counts_what_was_really_used() -> None:
    clock = Clock()

    async def run() -> None:
        bucket = Bucket(60, clock.now, clock.sleep)
        await bucket.take(1000)
        bucket.correct(1000, 1)
        await bucket.take(1)

    asyncio.run(run())
    assert clock.time == 0


def paused(pause: Pause, clock: Clock) -> float:
    """Seconds until the pause is over for one who waits now."""
    before = clock.time
    asyncio.run(pause.over())
    return clock.time - before


def test_all_pause_together_and_the_longer_the_oftener_they_are_rejected() -> None:
    clock = Clock()
    pause = Pause("http://x/v1", clock.now, clock.sleep)
    assert paused(pause, clock) == 0
    lasted = []
    for _ in range(10):
        sent = clock.time
        for late in range(5):  # those under way together are rejected together: that is one pause
            clock.time = sent + late / 100
            assert pause.limited(LIMITED, sent) == LIMITED
        lasted.append(paused(pause, clock))
    expected = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) for number in range(10)]
    assert all(0.9 * least <= seconds <= 1.6 * least for seconds, least in zip(lasted, expected, strict=True))
    pause.answered()
    pause.limited(LIMITED, clock.time)
    assert paused(pause, clock) <= 1.6 * FIRST_PAUSE


def test_a_pause_is_no_shorter_than_the_server_asks() -> None:
    clock = Clock()
    pause = Pause("http://x/v1", clock.now, clock.sleep)
    pause.limited(LIMITED, 0)
    clock.time = 0.5
    pause.limited(replace(LIMITED, after=20), 0)  # of those sent before it began one may ask for more
    assert paused(pause, clock) >= 20


def test_a_limit_that_lasts_ends_everything() -> None:
    clock = Clock()
    pause = Pause("http://x/v1", clock.now, clock.sleep)
    assert pause.limited(LIMITED, 0).course == "again"
    clock.time = LIMITED_SECONDS - 1
    assert pause.limited(LIMITED, clock.time).course == "again"
    clock.time = LIMITED_SECONDS
    last = pause.limited(LIMITED, clock.time)
    assert last.course == "end" and "http://x/v1 has accepted nothing for 30 minutes" in last.detail


def circuit(clock: Clock) -> Circuit:
    return Circuit(WriterConfig(model="m", server=ServerConfig(url="http://x/v1")), clock.now)


def test_a_server_that_is_down_is_noticed() -> None:
    clock = Clock()
    watch = circuit(clock)
    watch.success()
    for number in range(FEWEST_FAILING - 1):
        assert not watch.problem(f"key{number}", CUT)
    clock.time = OUTAGE_SECONDS - 1
    assert not watch.problem("last", CUT)
    clock.time = OUTAGE_SECONDS
    assert "nothing but errors for 60 s" in watch.problem("last", CUT)


def test_one_answer_between_is_a_sign_of_life() -> None:
    clock = Clock()
    watch = circuit(clock)
    for number in range(100):
        clock.time += 30
        assert not watch.problem(f"key{number}", CUT)
        if number % 2:
            watch.success()


def test_one_request_alone_does_not_mean_an_outage() -> None:
    clock = Clock()
    watch = circuit(clock)
    watch.success()
    for _ in range(100):
        clock.time += 30
        assert not watch.problem("poison", UNREACHABLE)


def test_nobody_listening_is_noticed_sooner() -> None:
    clock = Clock()
    watch = circuit(clock)
    assert not watch.problem("key", UNREACHABLE)
    clock.time = 6
    assert "nobody answers at http://x/v1" in watch.problem("key", UNREACHABLE)


def test_malformed_requests_end_everything_only_before_the_first_answer() -> None:
    first, later = circuit(Clock()), circuit(Clock())
    later.success()
    told = [bool(first.problem(f"key{number}", MALFORMED)) for number in range(FIRST_REJECTED)]
    assert told == [False] * (FIRST_REJECTED - 1) + [True]
    assert not any(later.problem(f"key{number}", MALFORMED) for number in range(100))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": formatdate(time.time() - 100, usegmt=True)}, 0),
    ],
)
def test_a_server_says_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert wait_of(headers) == seconds


def test_a_server_may_give_a_date() -> None:
    assert 90 < wait_of({"retry-after": formatdate(time.time() + 100, usegmt=True)}) <= 100


def test_waits_double_with_jitter_and_never_fall_short_of_what_is_asked() -> None:
    first, second = ([server_session._wait(tries, 0) for _ in range(200)] for tries in (1, 2))
    assert 0.25 <= min(first) < max(first) <= 0.75
    assert 0.5 <= min(second) < max(second) <= 1.5
    assert max(server_session._wait(50, 0) for _ in range(200)) <= 90
    assert all(server_session._wait(1, 20) >= 20 for _ in range(200))


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I cannot help.",
        "I cannot provide a medical diagnosis from this image.",
        "Unfortunately, I am unable to analyze this picture.",
        "As an AI language model, I can't examine patients.",
        "I am an AI and cannot diagnose skin lesions.",
        "I'm not able to describe images of people.",
        "**I can't help with that.**",
    ],
)
def test_a_refusal_is_known_by_its_opening(answer: str) -> None:
    assert refusal_in(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "The border cannot be judged; the lesion is benign.",
        "I cannot exclude melanoma; a biopsy is advised.",
        "The patient is sorry that he can't help scratching.",
        '{"border": "cannot be judged"}',
        "Asymmetry: cannot be assessed. " + "The lesion is brown. " * 3,
        "I cannot provide the size. " + "The lesion is brown with a sharp border. " * 20,
        "",
    ],
)
def test_a_note_is_no_refusal(answer: str) -> None:
    assert not refusal_in(answer)
