"""What holds requests back: limits of the account, a budget, and a server that is down."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from data_tools.config import WriterConfig
from data_tools.notes.backends.server_errors import Problem

BURST_SECONDS = 2.0  # of a limit that may be used at once
OUTAGE_SECONDS = 60.0  # of nothing but errors: the server is down
NO_START_SECONDS = 5.0  # the same where nothing has ever answered: the address is wrong, or nobody listens
FEWEST_FAILING = 8  # requests that must fail: one that brings a server down is that request's own failure
LIMITED_SECONDS = 1800.0  # of nothing but "too many requests": it is not a limit per minute
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; doubled each time, up to the longest
FIRST_REJECTED = 10  # requests refused as malformed before any was answered: all will be


class Bucket:
    """A limit per minute that refills steadily: `take` waits until there is something in it.

    It may be overdrawn by what one request takes, and the next then waits the longer. In the order of asking.
    """

    def __init__(
        self,
        per_minute: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = per_minute / 60
        self._now, self._sleep = now, sleep
        self._level = self._rate * BURST_SECONDS
        self._seen = now()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until the limit allows more, then count `amount`."""
        if not self._rate:
            return
        async with self._turn:
            self._refill()
            if self._level < 0:
                await self._sleep(-self._level / self._rate)
                self._refill()
            self._level -= amount

    def correct(self, estimated: float, actual: float) -> None:
        """Count `actual` instead of `estimated` for what was taken."""
        self._level += estimated - actual

    def _refill(self) -> None:
        now = self._now()
        self._level = min(self._rate * BURST_SECONDS, self._level + (now - self._seen) * self._rate)
        self._seen = now


@dataclass
class Spending:
    """Tokens and money, over all attempts: answers that came to nothing cost as well."""

    price_in: float  # of a million tokens
    price_out: float
    budget: float  # 0 for none
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def add(self, tokens_in: int, tokens_out: int) -> float:
        """Count an attempt, and return what it cost."""
        cost = (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.cost += cost
        return cost

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return 0 < self.budget <= self.cost


@dataclass
class Pause:
    """Lets nobody ask for a while once the server says that it is asked too often (HTTP 429).

    Longer each time, until it answers again. Such an attempt says nothing about the request itself.
    """

    where: str  # the server, for people
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _times: int = 0  # pauses since the last answer
    _since: float = 0.0  # the first of them
    _begun: float = float("-inf")  # the last of them
    _seconds: float = 0.0  # its length

    async def over(self) -> None:
        """Wait until it is over, and not all for equally long."""
        while (left := self._begun + self._seconds - self.now()) > 0:
            await self.sleep(left + random.uniform(0.0, self._seconds / 2))

    def limited(self, problem: Problem, sent: float) -> Problem:
        """Pause for `problem`, of an attempt made at `sent`, or say that everything must end.

        What was sent before the pause began lengthens it only by what the server asks for.
        """
        now = self.now()
        if not self._times:
            self._since = now
        if now - self._since >= LIMITED_SECONDS:
            lasting = f"{(now - self._since) / 60:.0f} minutes"
            return replace(problem, course="end", detail=self._reason(lasting, problem))
        if sent > self._begun:
            self._times += 1
            backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._times - 1))
            self._begun, self._seconds = now, max(backoff, problem.after)
        else:
            self._seconds = max(self._seconds, now + problem.after - self._begun)
        return problem

    def answered(self) -> None:
        """The server has looked at a request."""
        self._times = 0

    def _reason(self, lasting: str, problem: Problem) -> str:
        return (
            f"{self.where} has accepted nothing for {lasting}, the last time saying {problem.detail}: lower "
            "`server.requests_per_minute` or `server.tokens_per_minute`, or run again once the account may"
        )


@dataclass
class Circuit:
    """Notices a server that answers nobody, so that no request burns its tries on it."""

    cfg: WriterConfig
    now: Callable[[], float] = time.monotonic
    answered: bool = False  # whether the server ever gave an answer
    _failing: set[str] = field(default_factory=set)  # requests that failed since the last answer
    _since: float = 0.0
    _rejected: set[str] = field(default_factory=set)

    def success(self) -> None:
        """The server gave an answer."""
        self.answered = True
        self._failing.clear()

    def problem(self, key: str, problem: Problem) -> str:
        """Count an attempt that failed. Returns why everything must end, or ""."""
        if not problem.server:
            self._failing.clear()
            return self._malformed(key, problem)
        if not self._failing:
            self._since = self.now()
        self._failing.add(key)
        lasting = self.now() - self._since
        where = self.cfg.server.url or "OpenAI"
        if not self.answered and problem.kind == "unreachable" and lasting >= NO_START_SECONDS:
            return f"nobody answers at {where} ({problem.detail}): start the server, or correct `server.url`"
        enough = max(2, min(FEWEST_FAILING, self.cfg.server.concurrency))
        if len(self._failing) >= enough and lasting >= OUTAGE_SECONDS:
            return (
                f"{where} has brought nothing but errors for {lasting:.0f} s, the last {problem.kind} "
                f"({problem.detail}): see what is wrong with it{self._slow(problem)}, then run again"
            )
        return ""

    def _malformed(self, key: str, problem: Problem) -> str:
        """The first requests of all refused as they are: it is the settings, not the requests."""
        if self.answered or not problem.kind.startswith("http 4") or problem.course != "fail":
            return ""
        self._rejected.add(key)
        if len(self._rejected) < FIRST_REJECTED:
            return ""
        return f"the first {len(self._rejected)} requests were all refused ({problem.detail})"

    def _slow(self, problem: Problem) -> str:
        if problem.kind != "timeout":
            return ""
        return " (if it is only slow: fewer `server.concurrency` or a longer `server.timeout`)"
