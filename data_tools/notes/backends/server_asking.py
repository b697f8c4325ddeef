"""From a request to the arguments of a chat completion, in the words that this server takes.

Servers with OpenAI's interface differ in what they accept. What one refuses is left out, or said in its
words, from then on: JSON schemas where the recipe leaves that open, the name of the token limit, the seed.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from typing import Any

from data_tools.config import WriterConfig
from data_tools.notes.backends import Request

IMAGE_TOKENS = 800  # estimate for a rate limit, before the server has counted

_SCHEMA_REFUSED = re.compile(r"response_?format|json_?schema|guided|structured|grammar", re.I)
_LIMIT_REFUSED = re.compile(r"max_tokens.{0,80}max_completion_tokens", re.I | re.S)
_SEED_REFUSED = re.compile(r"\bseed\b", re.I)


@dataclass(frozen=True)
class Dialect:
    """What a server takes."""

    schema: bool = True
    limit: str = "max_tokens"  # the older name, which most servers know
    seed: bool = True

    def changes(self, other: Dialect) -> str:
        """What `other` leaves out of a request, in words."""
        left_out = {"JSON schemas": self.schema and not other.schema, "a seed": self.seed and not other.seed}
        return " and ".join([name for name, gone in left_out.items() if gone]) or f"{self.limit!r}"


def without_refused(dialect: Dialect, asked: dict[str, Any], said: str, cfg: WriterConfig) -> Dialect | None:
    """The dialect for a server that refused `asked` with the words `said`; None if no other helps."""
    if "response_format" in asked and cfg.server.structured == "auto" and _SCHEMA_REFUSED.search(said):
        return replace(dialect, schema=False)
    if "max_tokens" in asked and _LIMIT_REFUSED.search(said):
        return replace(dialect, limit="max_completion_tokens")
    if "seed" in asked and _SEED_REFUSED.search(said):
        return replace(dialect, seed=False)
    return None


def arguments(request: Request, image: bytes | None, cfg: WriterConfig, dialect: Dialect) -> dict[str, Any]:
    """Keyword arguments of `chat.completions.create`. `image` is a JPEG."""
    prompt = request.prompt
    content: Any = prompt.user
    if image is not None:
        address = f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
        picture = {"url": address, "detail": cfg.server.image_detail}
        content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": prompt.user}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": prompt.system})
    asked: dict[str, Any] = {
        "model": cfg.model,
        "messages": messages,
        "temperature": cfg.temperature,
        dialect.limit: cfg.max_tokens,
    }
    if cfg.top_p < 1:
        asked["top_p"] = cfg.top_p
    if dialect.seed:
        asked["seed"] = request.seed
    if prompt.schema is not None and cfg.server.structured != "off" and dialect.schema:
        form = {"name": prompt.strategy, "schema": prompt.schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": form}
    return asked


def characters_of(request: Request) -> int:
    """Length of the prompt's text."""
    return len(request.prompt.system) + len(request.prompt.user)
