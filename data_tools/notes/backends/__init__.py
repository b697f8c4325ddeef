"""Language models behind one interface: what is asked, what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from data_tools.notes.strategy import Prompt


@dataclass(frozen=True)
class Request:
    """One note to be written. `key` names its content: image, prompt, model, decoding."""

    key: str
    prompt: Prompt
    image: Path | None  # where the prompt shows one
    seed: int


@dataclass(frozen=True)
class Answer:
    """What a model wrote, and what it cost: tokens and cost are those of all tries."""

    key: str
    text: str  # as it came
    finish: str  # "stop", or "length" where it was cut
    model: str  # as the backend names it
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0  # in the currency of the recipe's prices
    seconds: float = 0.0
    tries: int = 1


@dataclass(frozen=True)
class Failure:
    """A request that got no usable answer. `kind`: "refused", "empty", "timeout", "http 500", ..."""

    key: str
    kind: str
    detail: str
    tries: int = 1
    tokens_in: int = 0  # of all tries; a refusal is paid for as well
    tokens_out: int = 0
    cost: float = 0.0


class Backend(Protocol):
    """A language model."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer | Failure]:
        """One outcome for each request, as they come in, in any order.

        Requests are taken as there is room for them, never all at once. Raises `UserError` where no request
        can succeed (a wrong key, an unknown model, a budget that is spent) once what was under way has been
        yielded. Closing the iterator ends what is under way.
        """
