"""Work ahead on threads: pieces of coming steps run while the current one is used, results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

PIECE = 16  # samples that one thread decodes at a time

Step = TypeVar("Step")
Result = TypeVar("Result")


class Workers:
    """A pool of decoding threads; with 0 threads the work is done where it is asked for."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 0 else None

    def ahead(
        self,
        steps: Iterator[Step],
        tasks: Callable[[Step], Sequence[Callable[[], Result]]],
        depth: int,
    ) -> Iterator[tuple[Step, list[Result]]]:
        """Yield each step with the results of its `tasks`, in order, at most `depth` steps ahead.

        An exception of a task is raised at its step. Closing the iterator drops what has not begun.
        """
        if self._pool is None:
            for step in steps:
                yield step, [task() for task in tasks(step)]
            return
        waiting: deque[tuple[Step, list[Future[Any]]]] = deque()
        try:
            for step in steps:
                waiting.append((step, [self._pool.submit(task) for task in tasks(step)]))
                if len(waiting) > depth:
                    yield _collect(*waiting.popleft())
            while waiting:
                yield _collect(*waiting.popleft())
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()

    def close(self) -> None:
        """End the threads after the pieces they are at."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _collect(step: Step, futures: list[Future[Any]]) -> tuple[Step, list[Any]]:
    return step, [future.result() for future in futures]
