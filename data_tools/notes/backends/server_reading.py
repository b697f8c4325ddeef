"""What a server sends, read no further than a note can reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from data_tools.notes.backends import server_errors


async def bounded(response: Any) -> None:
    """Hook of an HTTP client: reading the response raises `TooLongAnswerError` beyond `MOST_BYTES`.

    Bytes are counted as they come out of compression. The library of `response` is the client's choice, not
    ours to import: all that is asked of it is that it reads a body by `aiter_bytes`.
    """
    parts = response.aiter_bytes

    async def some(*args: Any) -> AsyncIterator[bytes]:
        count = 0
        async for part in parts(*args):
            count += len(part)
            if count > server_errors.MOST_BYTES:
                raise server_errors.TooLongAnswerError
            yield part

    response.aiter_bytes = some
