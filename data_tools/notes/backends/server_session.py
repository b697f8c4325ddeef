"""The event loop behind a `ServerBackend`: requests on their way, each until it has its outcome."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.images.open import UnusableImage
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.backends.images import image_bytes
from data_tools.notes.backends.server_answers import Completion
from data_tools.notes.backends.server_client import Client
from data_tools.notes.backends.server_errors import Problem
from data_tools.notes.backends.server_limits import LIMITED_SECONDS, Circuit, Spending

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds before the second try; doubled each time, up to the longest
EMPTY_TRIES = 3  # an answer without text may be a whim of the sampling, but not again and again
IMAGE_THREADS = 2
LEAVE_SECONDS = 5.0  # for the thread to close its connections

Outcome = Answer | Failure | BaseException | None


class Session:
    """Takes requests and puts one outcome for each into `outcomes`.

    None stands for a request that was dropped because everything ends, an exception for a defect of ours.
    `ending` says why everything ends, or "". The public methods are for the caller's thread.
    """

    def __init__(
        self, cfg: WriterConfig, prepare: PrepareConfig, key: str, spending: Spending, retried: Counter[str]
    ) -> None:
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.ending = ""
        self._cfg, self._prepare = cfg, prepare
        self._spending, self._retried = spending, retried
        self._client = Client(cfg, key)
        self._circuit = Circuit(cfg)
        self._places = asyncio.Semaphore(cfg.server.concurrency)
        self._tasks: set[asyncio.Task[Answer | Failure | None]] = set()
        self._images = ThreadPoolExecutor(IMAGE_THREADS, thread_name_prefix="images")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="server requests", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Take a request; returns at once."""
        self._loop.call_soon_threadsafe(self._begin, request)

    def close(self) -> None:
        """Drop what is under way, and end the thread."""
        self._images.shutdown(wait=False, cancel_futures=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LEAVE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._leave())
        finally:
            self._loop.close()

    async def _leave(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _begin(self, request: Request) -> None:
        task = self._loop.create_task(self._outcome(request))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        if self.ending:
            task.cancel()

    def _finished(self, task: asyncio.Task[Answer | Failure | None]) -> None:
        """Put the outcome of a request: here, as a task that is cancelled before it starts runs no line."""
        self._tasks.discard(task)
        self.outcomes.put(None if task.cancelled() else task.exception() or task.result())

    async def _outcome(self, request: Request) -> Answer | Failure | None:
        """Try until there is an answer, or a reason to give up."""
        begun, tries, empty, limited = time.monotonic(), 0, 0, 0
        used = replace(self._spending, tokens_in=0, tokens_out=0, cost=0.0)
        try:
            image = await self._image(request)
        except UnusableImage as error:
            return Failure(request.key, "image", f"{request.image}: {error}", tries=0)
        while True:
            async with self._places:
                tries += 1
                result = await self._client.attempt(request, image)
            if isinstance(result, Completion):
                self._circuit.success()
                self._spend(result, used)
                if result.problem is None:
                    return _answer(request.key, result, used, time.monotonic() - begun, tries)
            problem = result.problem if isinstance(result, Completion) else self._count(request.key, result)
            assert problem is not None
            empty += problem.kind == "empty"
            if problem.limited:  # no try: the server has not looked at it
                tries, limited = tries - 1, limited + 1
                last = time.monotonic() - begun > LIMITED_SECONDS  # others were answered meanwhile
            else:
                last, limited = tries > self._cfg.server.retries or empty >= EMPTY_TRIES, 0
            if problem.course == "fail" or (last and not self.ending):
                return _failure(request.key, problem, used, tries)
            if self.ending:
                return None
            self._retried[problem.kind] += 1
            await asyncio.sleep(_wait(limited or tries, problem.after))

    async def _image(self, request: Request) -> bytes | None:
        if request.image is None or not request.prompt.image:
            return None
        side, path = self._cfg.image_side, request.image
        return await self._loop.run_in_executor(self._images, image_bytes, path, side, self._prepare)

    def _spend(self, result: Completion, used: Spending) -> None:
        """Count an attempt, for its request and for all."""
        for count in (used, self._spending):
            count.add(result.tokens_in, result.tokens_out)
        if self._spending.spent:
            tokens = f"{self._spending.tokens_in} prompt and {self._spending.tokens_out} answer tokens"
            self._end(
                f"the budget is spent: its last {self._spending.budget:.4g} by {self._spending.cost:.4g} for "
                f"{tokens}. Answers so far are kept; `server.budget` allows more"
            )

    def _count(self, key: str, problem: Problem) -> Problem:
        """Watch for problems that no request can get past."""
        broken = self._circuit.problem(key, problem)
        if problem.course == "end" or broken:
            self._end(problem.detail if problem.course == "end" else broken)
        return problem

    def _end(self, reason: str) -> None:
        """Let what is with the server come back, and drop all the rest."""
        if self.ending:
            return
        self.ending = reason
        for task in self._tasks - self._client.under_way - {asyncio.current_task()}:
            task.cancel()


def _answer(key: str, result: Completion, used: Spending, seconds: float, tries: int) -> Answer:
    return Answer(
        key=key,
        text=result.text,
        finish=result.finish,
        model=result.model,
        tokens_in=used.tokens_in,
        tokens_out=used.tokens_out,
        cost=used.cost,
        seconds=seconds,
        tries=tries,
    )


def _failure(key: str, problem: Problem, used: Spending, tries: int) -> Failure:
    return Failure(key, problem.kind, problem.detail, tries, used.tokens_in, used.tokens_out, used.cost)


def _wait(tries: int, after: float) -> float:
    """Seconds before the next try: at least what the server asks for, and never the same for all."""
    backoff = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1))
    return max(after, backoff) * random.uniform(1.0, 1.5) if after else backoff * random.uniform(0.5, 1.5)
