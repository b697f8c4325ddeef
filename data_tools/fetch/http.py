"""Requests to publishers: what is tried again, how long to wait, and what is said when it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from mmfm import __version__
from mmfm.errors import DataError

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Patience:
    """How often a request is tried again, and how long is waited in between (doubling), in seconds."""

    tries: int = 6
    wait: float = 2.0
    longest: float = 60.0
    timeout: float = 60.0

    def pause(self, failures: int, response: httpx.Response | None = None) -> None:
        """Wait before another try: as long as the server asks, else longer each time."""
        asked = response.headers.get("retry-after", "") if response is not None else ""
        wait = float(asked) if asked.isdigit() else self.wait * 2 ** (failures - 1)
        time.sleep(min(wait, self.longest))


class PassingError(Exception):
    """A request that failed in a way that may pass."""

    def __init__(self, reason: str, response: httpx.Response | None = None) -> None:
        super().__init__(reason)
        self.response = response


def new_client(patience: Patience) -> httpx.Client:
    """A client that follows redirects, none of them out of https, and asks for the bytes as stored."""
    headers = {"user-agent": f"mmfm/{__version__}", "accept-encoding": "identity"}
    hooks = {"request": [_check_scheme]}
    return httpx.Client(timeout=patience.timeout, follow_redirects=True, headers=headers, event_hooks=hooks)


def shown(url: str) -> str:
    """An address as it is told and kept: without its query, which may be a signature that opens the file."""
    return url.partition("?")[0]


def _check_scheme(request: httpx.Request) -> None:
    """Refuse what anyone on the way could change: many files have no checksum to find that out by."""
    if request.url.scheme != "https" and request.url.host not in THIS_MACHINE:
        raise DataError(f"{shown(str(request.url))} is not https: not downloaded")


@contextmanager
def failures_told(url: str) -> Iterator[None]:
    """Network errors as `PassingError`."""
    try:
        yield
    except (httpx.TransportError, httpx.StreamError) as error:
        raise PassingError(
            f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        ) from error
    except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise DataError(f"{shown(url)}: {error}") from error


def check_status(response: httpx.Response, url: str) -> None:
    """Raise `PassingError` for a status that may pass, `DataError` for another that is no success."""
    if response.status_code in PASSING:
        raise PassingError(f"HTTP {response.status_code}", response)
    if not response.is_success:
        hint = {401: "it asks for an account", 403: "it is not open to us", 404: "it is not there any more"}
        why = hint.get(response.status_code, response.reason_phrase)
        raise DataError(
            f"{shown(url)}: HTTP {response.status_code}: {why}. See the data set's page for another way"
        )


def ask(client: httpx.Client, method: str, url: str, patience: Patience, body: Any = None) -> Any:
    """The JSON that a request answers. Raises `DataError` when it does not, or not after all tries."""
    for failures in range(1, patience.tries + 1):
        try:
            with failures_told(url):
                response = client.request(method, url, json=body)
            check_status(response, url)
            return response.json()
        except PassingError as error:
            if failures == patience.tries:
                raise DataError(f"{shown(url)}: {error}, {failures} times") from error
            patience.pause(failures, error.response)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{shown(url)} does not answer with JSON") from error
    raise AssertionError("unreachable")
