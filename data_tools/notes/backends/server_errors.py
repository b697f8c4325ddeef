"""What an error of a server means for a request: try again, give the request up, or end everything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from data_tools.config import ServerConfig, WriterConfig

OPENAI_VARIABLE = "OPENAI_API_KEY"
AGAIN_STATUS = (408, 409, 425, 429)  # and all of 5xx: they may pass
PATIENCE = 600.0  # seconds: a server that asks to wait longer has a quota that is spent

MOST_BYTES = 16 << 20  # of an answer: no note is so long, but a server gone wrong may send without end

Course = Literal["again", "fail", "end"]

_MODEL_UNKNOWN = re.compile(
    r"\bmodel\b.{0,120}not (found|exist|available|served)|(unknown|no such|invalid|unsupported) model|"
    r"pinned to",
    re.I | re.S,
)
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|maximum (context|input)|too many tokens|prompt is too long", re.I
)
_TOO_MUCH_AT_ONCE = re.compile(r"request too large", re.I)  # for a limit of tokens per minute: forever
_FILTERED = re.compile(r"content.?(filter|policy|management)|safety (system|policy)|moderation", re.I)
_NO_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.I)


class TooLongAnswerError(Exception):
    """A server has sent more than `MOST_BYTES`."""


@dataclass(frozen=True)
class Problem:
    """An attempt that brought no usable answer."""

    kind: str  # of the `Failure`: "timeout", "http 500", "refused"
    detail: str
    course: Course
    after: float = 0.0  # seconds that the server asks to wait
    server: bool = False  # it may be the server that fails, whatever is asked
    limited: bool = False  # the server is asked too often, and has not looked at the request


def judge(error: Exception, cfg: WriterConfig) -> Problem:
    """What an exception of an attempt means. Raises it again where it is none of a server."""
    import openai

    if isinstance(error, TimeoutError | openai.APITimeoutError):
        detail = f"no answer in {cfg.server.timeout:g} s"
        return Problem("timeout", detail, "again", server=True)
    if isinstance(error, TooLongAnswerError) or isinstance(error.__cause__, TooLongAnswerError):
        return Problem("garbage", f"an answer of more than {MOST_BYTES >> 20} MB", "again", server=True)
    if isinstance(error, openai.APIStatusError):
        return _judge_status(error, cfg)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        name = type(cause).__name__  # of the HTTP library beneath, which is not ours to import
        kind = "unreachable" if name in ("ConnectError", "ConnectTimeout") else "cut"
        return Problem(kind, f"{name}: {cause}".rstrip(": "), "again", server=True)
    if isinstance(error, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return Problem("garbage", "the answer is not JSON of OpenAI's form", "again", server=True)
    raise error


def variable_of(server: ServerConfig) -> str:
    """The environment variable that holds the key; "" where none is sent."""
    return server.key_variable or ("" if server.url else OPENAI_VARIABLE)


def message_of(error: Any) -> str:
    """What the server said, on one line: the message in its JSON, or the body."""
    body = error.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        said = inner.get("message") or inner.get("detail") if isinstance(inner, Mapping) else inner
        body = said or body
    text = body if isinstance(body, str) else json.dumps(body, default=str) if body else error.message
    return " ".join(text.split())[:500]


def wait_of(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            return max(0.0, float(value) * unit)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError):
            pass
    return 0.0


def _judge_status(error: Any, cfg: WriterConfig) -> Problem:
    status, said = error.status_code, message_of(error)
    kind, detail = f"http {status}", f"HTTP {status}: {said}"
    where = cfg.server.url or "OpenAI"
    if status in (401, 403):
        variable = variable_of(cfg.server)
        way_out = (
            f"put the right key into the environment variable {variable}"
            if variable
            else "name the environment variable that holds a key in `server.key_variable`"
        )
        return Problem(kind, f"{where} refuses access ({detail}): {way_out}", "end")
    if _names_unknown_model(status, said, error.code, cfg.model):
        return Problem(kind, f"{where} does not serve the model {cfg.model!r} ({detail})", "end")
    if status == 404:
        way_out = "check `server.url`, which usually ends in /v1, and the name of the model"
        return Problem(kind, f"{where} does not know the address ({detail}): {way_out}", "end")
    if status == 429 and _NO_QUOTA.search(f"{error.code} {said}"):
        return Problem(kind, f"the account at {where} has no credit left ({detail})", "end")
    if status == 429 and _TOO_MUCH_AT_ONCE.search(said):
        return Problem("too long", f"the prompt does not fit the account's limit ({detail})", "fail")
    if status in AGAIN_STATUS or status >= 500:
        after = wait_of(error.response.headers)
        if after > PATIENCE:
            wait = f"{after / 60:.0f} minutes"
            return Problem(kind, f"{where} asks to wait {wait} ({detail}): run again then", "end")
        return Problem(kind, detail, "again", after, server=status >= 500, limited=status == 429)
    if error.code == "context_length_exceeded" or _TOO_LONG.search(said):
        return Problem("too long", f"the prompt does not fit the model ({detail})", "fail")
    if error.code == "content_filter" or _FILTERED.search(said):
        return Problem("refused", f"stopped by the server's content filter ({detail})", "fail")
    return Problem(kind, detail, "fail")


def _names_unknown_model(status: int, said: str, code: str | None, model: str) -> bool:
    """Servers say so with 404, or with 400 or 422 and words."""
    if status not in (400, 404, 422):
        return False
    return code == "model_not_found" or (model in said and bool(_MODEL_UNKNOWN.search(said)))
