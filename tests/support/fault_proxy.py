"""A proxy before a server with OpenAI's interface that spoils answers: what a network and a busy host do."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

PASSED = "passed"
HOLD_SECONDS = 120.0  # longer than any client waits
# Shares of attempts. The rest is passed on and comes back as it is.
FAULTS = {
    "429": 0.03,
    "429 retry-after": 0.02,
    "500": 0.03,
    "503": 0.03,
    "hold": 0.005,
    "reset": 0.02,
    "cut before": 0.02,
    "cut after": 0.02,
    "cut chunks": 0.02,
    "garbage": 0.02,
    "html": 0.01,
    "no choices": 0.01,
    "empty": 0.02,
    "refusal": 0.005,
    "filtered": 0.005,
}
REFUSING = ("refusal", "filtered")
MOST_IN_A_ROW = (
    5  # attempts of one request that are spoilt, and of these MOST_EMPTY by an answer without text
)
MOST_EMPTY = 2


@dataclass
class Tally:
    """What happened to each request, known by its last message's text."""

    given: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # fault of each attempt
    upstream: Counter[str] = field(default_factory=Counter)  # how often the server was asked
    delivered: Counter[str] = field(default_factory=Counter)  # how often its whole answer went to the client
    statuses: Counter[int] = field(default_factory=Counter)  # of the server's answers

    @property
    def faults(self) -> Counter[str]:
        """Attempts by what was done to them."""
        return Counter(fault for faults in self.given.values() for fault in faults)

    @property
    def refused(self) -> set[str]:
        """Requests that were answered by a refusal."""
        return {text for text, faults in self.given.items() if set(faults) & set(REFUSING)}


class FaultProxy:
    """`with FaultProxy(upstream) as proxy:` and then `proxy.url`. `upstream` is a base URL ending in /v1.

    The fault of an attempt is drawn from the seed, the request's text and the number of the attempt: it does
    not depend on the order in which requests come.
    """

    def __init__(self, upstream: str, shares: Mapping[str, float] | None = None, seed: int = 0) -> None:
        self.tally = Tally()
        self.url = ""
        self._upstream = urlsplit(upstream)
        self._shares = dict(FAULTS if shares is None else shares)
        self._seed = seed
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._listening.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client: requests, one after the other."""
        try:
            while (request := await _read_message(reader)) is not None:
                if not await self._handle(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _handle(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer a request, well or badly. Returns whether the connection stays."""
        text = _text_of(request)
        fault = self._draw(text)
        self.tally.given[text].append(fault)
        if fault in (PASSED, "cut after"):
            answer = await self._ask(text, request)
            if fault == PASSED:
                writer.write(answer)
                await writer.drain()
                self.tally.delivered[text] += 1
                return True
            head, _, body = answer.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
        elif fault == "hold":
            await asyncio.sleep(HOLD_SECONDS)
        elif fault != "reset":
            answer, stays = _spoilt(fault)
            writer.write(answer)
            await writer.drain()
            return stays
        await writer.drain()
        return False

    def _draw(self, text: str) -> str:
        before = self.tally.given[text]
        if len(before) >= MOST_IN_A_ROW:
            return PASSED
        draw = random.Random(f"{self._seed} {len(before)} {text}")
        weights = [*self._shares.values(), 1 - sum(self._shares.values())]
        fault = draw.choices([*self._shares, PASSED], weights)[0]
        return "500" if fault == "empty" and before.count("empty") >= MOST_EMPTY else fault

    async def _ask(self, text: str, request: bytes) -> bytes:
        """The answer of the server, over a connection that is kept."""
        self.tally.upstream[text] += 1
        reused = bool(self._idle)
        reader, writer = self._idle.pop() if reused else await self._connect()
        try:
            writer.write(request)
            answer = await _read_message(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            answer = None
        if answer is None and reused:  # the server has closed it meanwhile
            reader, writer = await self._connect()
            writer.write(request)
            answer = await _read_message(reader)
        assert answer is not None, "the server closed the connection without an answer"
        self._idle.append((reader, writer))
        self.tally.statuses[int(answer.split(b" ", 2)[1])] += 1
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._upstream.hostname, self._upstream.port, limit=2**24)


async def _read_message(reader: asyncio.StreamReader) -> bytes | None:
    """A request or response with its body, as it came; None where the connection ended before one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def _text_of(request: bytes) -> str:
    """Text of the last message of a chat completion."""
    content = json.loads(request.partition(b"\r\n\r\n")[2])["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _spoilt(fault: str) -> tuple[bytes, bool]:
    """The bytes of a bad answer, and whether the connection stays open after it."""
    if fault == "429":
        return _response(429, {"error": {"message": "too many requests"}}), True
    if fault == "429 retry-after":
        return _response(429, {"error": {"message": "too many requests"}}, "Retry-After: 0.2\r\n"), True
    if fault in ("500", "503"):
        return _response(int(fault), {"error": {"message": "it is too much"}}), True
    if fault == "html":
        page = b"<html>Bad gateway</html>"
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(
            page
        ) + page, True
    if fault == "garbage":
        body = b'{"choices": [{"mess\xff\x00'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body, True
    if fault == "no choices":
        return _response(200, {"id": "1", "object": "chat.completion", "choices": []}), True
    if fault == "cut before":
        return _response(200, completion("a note that is cut"))[:-40], False
    if fault == "cut chunks":
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + b'10\r\n{"id": "1", "obj\r\n', False
    bodies = {
        "empty": completion(""),
        "refusal": completion("I'm sorry, but I can't help with that."),
        "filtered": completion("The lesion", finish="content_filter"),
    }
    return _response(200, bodies[fault]), True


def completion(text: str, finish: str = "stop") -> dict[str, object]:
    """The JSON of a chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _response(status: int, body: object, headers: str = "") -> bytes:
    content = json.dumps(body).encode()
    lines = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}"
    return f"{lines}Content-Length: {len(content)}\r\n\r\n".encode() + content
