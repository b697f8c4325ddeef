"""A language model that is none: it answers by rule, and writes down what it was asked.

As a program it is `mmfm` with that model in the place of all others:

    python fakewriter.py LOG SECONDS notes write RECIPE ...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.notes.backends import Answer, Failure, Request

Rule = Callable[[Request], Answer | Failure]


def agree(request: Request) -> Answer:
    """An answer that is different for each key."""
    text = f"A lesion with an even border, number {int(request.key[:12], 16)}."
    return Answer(request.key, text, "stop", "fake-1", tokens_in=10, tokens_out=5, cost=0.25, seconds=0.1)


class FakeBackend:
    """Answers one request after the other, `ahead` of which are under way at once."""

    def __init__(
        self, rule: Rule = agree, log: Path | None = None, seconds: float = 0, ahead: int = 1
    ) -> None:
        self.rule = rule
        self.log = log
        self.seconds = seconds
        self.ahead = ahead
        self.asked: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer | Failure]:
        """See `Backend`."""
        under_way: list[Request] = []
        for request in requests:
            self._note(request)
            under_way.append(request)
            if len(under_way) == self.ahead:
                time.sleep(self.seconds)
                yield self.rule(under_way.pop(0))
        yield from map(self.rule, under_way)

    def _note(self, request: Request) -> None:
        self.asked.append(request)
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{request.key}\n")


if __name__ == "__main__":
    from data_tools.notes import writing
    from launch.cli import main

    def backend_of(writer: WriterConfig, prepare: PrepareConfig) -> FakeBackend:
        return FakeBackend(log=Path(sys.argv[1]), seconds=float(sys.argv[2]), ahead=4)

    writing.backend_of = backend_of  # type: ignore[assignment]
    sys.exit(main(sys.argv[3:]))
