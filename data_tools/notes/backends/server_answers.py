"""From the JSON of a server to an answer, or to what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_tools.notes.backends.refusal import refusal_in
from data_tools.notes.backends.server_errors import Problem

CHARACTERS_PER_TOKEN = 4  # of English text, where a server does not count


@dataclass(frozen=True)
class Completion:
    """What came of one attempt. `problem` is None for a usable answer."""

    text: str
    finish: str
    model: str
    tokens_in: int
    tokens_out: int
    counted: bool  # whether the server said the tokens, or they are estimated
    problem: Problem | None


def read_completion(body: Any, characters_in: int) -> Completion | Problem:
    """Read a chat completion, tolerant of what servers leave out; a `Problem` where it is none.

    `characters_in` is the length of the prompt, to estimate tokens where the server does not say them.
    """
    choices = getattr(body, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    content = _joined(getattr(message, "content", None))
    if message is None or not (content is None or isinstance(content, str)):
        return Problem("garbage", f"the answer has no message{_said(body)}", "again", server=True)
    text, finish = content or "", getattr(choice, "finish_reason", None) or "stop"
    usage = getattr(body, "usage", None)
    tokens_in = getattr(usage, "prompt_tokens", None)
    tokens_out = getattr(usage, "completion_tokens", None)
    counted = isinstance(tokens_in, int) and isinstance(tokens_out, int)
    if not counted:
        tokens_in, tokens_out = characters_in // CHARACTERS_PER_TOKEN, len(text) // CHARACTERS_PER_TOKEN
    return Completion(
        text=text,
        finish="length" if finish == "length" else "stop",
        model=getattr(body, "model", None) or "",
        tokens_in=tokens_in or 0,
        tokens_out=tokens_out or 0,
        counted=counted,
        problem=_problem(text, finish, getattr(message, "refusal", None)),
    )


def _joined(content: Any) -> Any:
    """The text of an answer in parts, as some models give it; anything else as it is."""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return content
    texts = [part.get("text") for part in content if part.get("type") == "text"]
    return "".join(texts) if all(isinstance(text, str) for text in texts) else content


def _said(body: Any) -> str:
    """Some gateways tell an error with the status of success."""
    error = getattr(body, "error", None)
    said = error.get("message") if isinstance(error, dict) else error
    return f": {' '.join(said.split())[:500]}" if isinstance(said, str) else ""


def _problem(text: str, finish: str, refusal: Any) -> Problem | None:
    """A refusal, however it is told, or an answer without text."""
    if finish == "content_filter":
        return Problem("refused", "stopped by the server's content filter", "fail")
    if isinstance(refusal, str) and refusal.strip():
        return Problem("refused", refusal.strip()[:500], "fail")
    if declined := refusal_in(text):
        return Problem("refused", declined, "fail")
    if text.strip():
        return None
    if finish == "length":
        detail = "all tokens were spent before the first word of the answer: raise `max_tokens`"
        return Problem("empty", detail, "fail")
    return Problem("empty", "the answer has no text", "again")
