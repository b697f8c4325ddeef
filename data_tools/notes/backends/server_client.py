"""One attempt at a time: a request goes to the server in the words that it takes, and comes back judged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from data_tools.config import WriterConfig
from data_tools.notes.backends import Request
from data_tools.notes.backends.server_answers import CHARACTERS_PER_TOKEN, Completion, read_completion
from data_tools.notes.backends.server_asking import (
    IMAGE_TOKENS,
    Dialect,
    arguments,
    characters_of,
    without_refused,
)
from data_tools.notes.backends.server_errors import Problem, judge
from data_tools.notes.backends.server_limits import Bucket, Pause
from data_tools.notes.backends.server_reading import bounded
from mmfm.progress import say

OPENAI = "https://api.openai.com/v1"
SHORTEST_KEY = 8  # characters; what is shorter is a word such as "none", which a message may hold


class Client:
    """The server of a writer, within the limits of the account. For the thread of one event loop."""

    def __init__(self, cfg: WriterConfig, key: str) -> None:
        import openai

        server = cfg.server
        self.under_way: set[asyncio.Task[Any] | None] = set()  # tasks whose request is with the server
        self._cfg = cfg
        self._dialect = Dialect()
        self._requests = Bucket(server.requests_per_minute)
        self._tokens = Bucket(server.tokens_per_minute)
        self._pause = Pause(server.url or "OpenAI")
        self._uncounted_told = False
        self._openai = openai.AsyncOpenAI(  # it would try again by its own rules: ours decide
            api_key=key,
            base_url=server.url or OPENAI,
            max_retries=0,
            timeout=server.timeout,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [bounded]}),
        )

    async def attempt(self, request: Request, image: bytes | None) -> Completion | Problem:
        """Ask once, or once more in other words where the server refuses the form of the request."""
        characters = characters_of(request)
        estimate = characters / CHARACTERS_PER_TOKEN + self._cfg.max_tokens + IMAGE_TOKENS * bool(image)
        while True:
            await self._requests.take(1)
            await self._tokens.take(estimate)
            await self._pause.over()
            asked = arguments(request, image, self._cfg, self._dialect)
            sent = time.monotonic()
            result = self._heeded(await self._send(asked, characters), sent)
            if isinstance(result, Completion):
                self._tokens.correct(estimate, result.tokens_in + result.tokens_out)
                self._tell_uncounted(result)
            if not isinstance(result, Problem) or result.kind not in ("http 400", "http 422"):
                return result
            other = without_refused(self._dialect, asked, result.detail, self._cfg)
            if other is None:
                return result
            self._adopt(other, result.detail)

    def _heeded(self, result: Completion | Problem, sent: float) -> Completion | Problem:
        """The result of an attempt made at `sent`, once it has begun or ended a pause of all."""
        if isinstance(result, Problem) and result.limited:
            return self._pause.limited(result, sent)
        if isinstance(result, Completion) or not result.server:
            self._pause.answered()
        return result

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()

    async def _send(self, asked: dict[str, Any], characters: int) -> Completion | Problem:
        task = asyncio.current_task()
        self.under_way.add(task)
        try:
            # The client's own timeout is for each read: a server that drips would be waited for without end.
            async with asyncio.timeout(self._cfg.server.timeout):
                body = await self._openai.chat.completions.create(**asked)
            return read_completion(body, characters)
        except Exception as error:
            return _without_key(judge(error, self._cfg), self._openai.api_key)
        finally:
            self.under_way.discard(task)

    def _adopt(self, other: Dialect, said: str) -> None:
        """Use another dialect from now on. Several requests may be refused at once: it is said once."""
        if other != self._dialect:
            where, changes = self._cfg.server.url or "OpenAI", self._dialect.changes(other)
            say(f"{where} refuses {changes} ({said}): it is asked without from now on")
        self._dialect = other

    def _tell_uncounted(self, result: Completion) -> None:
        if not result.counted and not self._uncounted_told:
            self._uncounted_told = True
            where, length = self._cfg.server.url or "OpenAI", CHARACTERS_PER_TOKEN
            say(f"{where} does not say how many tokens it used: they are taken for {length} characters each")


def _without_key(problem: Problem, key: str) -> Problem:
    """Some servers repeat the key that they refuse: it must not get into logs and stores."""
    if len(key) < SHORTEST_KEY:
        return problem
    return replace(problem, detail=problem.detail.replace(key, "***"))
