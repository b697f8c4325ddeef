"""Notes by any server with OpenAI's interface: hosted ones, vLLM, TGI, llama.cpp, `transformers serve`.

Requests are taken and outcomes yielded in the caller's thread; between them an event loop in a thread of its
own (`data_tools.notes.backends.server_session`) holds up to `concurrency` requests with the server.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.backends.server_errors import variable_of
from data_tools.notes.backends.server_limits import Spending
from data_tools.notes.backends.server_session import Session
from mmfm.errors import ConfigError, UserError
from mmfm.progress import say

WAITING = 2  # requests taken for each one that may be under way: none waits for the caller


class ServerBackend:
    """A model behind OpenAI's interface. `prepare` is what is done to pictures before they are shown.

    Raises `ConfigError` for settings that cannot work, `UserError` where a key is needed and not there.
    """

    def __init__(self, cfg: WriterConfig, prepare: PrepareConfig | None = None) -> None:
        if not cfg.model:
            raise ConfigError("a writer has no model: set `model` to the name that the server gives it")
        server = cfg.server
        if server.url and not server.url.startswith(("http://", "https://")):
            raise ConfigError(f"server.url={server.url} must begin with http:// or https://")
        if server.budget and not (server.price_in or server.price_out):
            raise ConfigError(
                f"server.budget={server.budget:g} has no effect without prices: set `server.price_in` and "
                "`server.price_out`, each for a million tokens"
            )
        self.cfg = cfg
        self.prepare = prepare or PrepareConfig()
        self.spending = Spending(server.price_in, server.price_out, server.budget)
        self.retried: Counter[str] = Counter()  # attempts that were made again, by the kind of problem
        self._key = _key(cfg)

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer | Failure]:
        """One outcome for each request, in the order in which they come (see `Backend.answer`).

        Raises `UserError` once what was under way has been yielded: where the server refuses the key or does
        not know the model, is down, or the budget is spent. Requests that then have no outcome were not
        answered.
        """
        session = Session(self.cfg, self.prepare, self._key, self.spending, self.retried)
        before = self.retried.copy()
        try:
            yield from _exchange(session, iter(requests), WAITING * self.cfg.server.concurrency)
        finally:
            session.close()
            _tell(self.retried - before)
        if session.ending:
            raise UserError(session.ending)


def _exchange(session: Session, requests: Iterator[Request], room: int) -> Iterator[Answer | Failure]:
    """Keep up to `room` requests with the session until there are no more, or it ends."""
    pending = 0
    exhausted = False
    while True:
        while pending < room and not exhausted and not session.ending:
            request = next(requests, None)
            if request is None:
                exhausted = True
            else:
                session.submit(request)
                pending += 1
        if not pending:
            return
        outcome = session.outcomes.get()
        pending -= 1
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is not None:  # None: it was dropped since everything ends
            yield outcome


def _key(cfg: WriterConfig) -> str:
    """The key for the server. One of OpenAI's goes to no other by itself."""
    variable = variable_of(cfg.server)
    key = os.environ.get(variable, "").strip()  # of a file, it ends in a new line
    if variable and not key:
        raise UserError(
            f"the environment variable {variable} holds no key: set it, or `server.url` for another server "
            "than OpenAI's, without `server.key_variable` where that wants no key"
        )
    if not (key.isascii() and key.isprintable()):  # the client's error would show it
        raise ConfigError(f"the environment variable {variable} holds what cannot be a key")
    return key or "none"  # the client wants one; servers of one's own do not look at it


def _tell(retried: Counter[str]) -> None:
    if retried:
        kinds = ", ".join(f"{count} {kind}" for kind, count in retried.most_common())
        say(f"tried again: {kinds}")
