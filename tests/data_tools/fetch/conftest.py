"""A server on this machine that publishes files, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Published:
    """One address: its bytes, and how the server behaves. `cuts` are bytes after which connections end."""

    body: bytes
    ranges: bool = True
    etag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # answered before anything else, in their order
    chunked: bool = False


@dataclass
class Site:
    """The server: what it publishes, and the requests that came, as (path, Range header)."""

    url: str = ""
    pages: dict[str, Published] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    posted: list[Any] = field(default_factory=list)

    def publish(self, path: str, body: bytes | Any, **behaviour: Any) -> str:
        """Publish bytes, or anything else as JSON; return its address."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.pages[path] = Published(raw, **behaviour)
        return f"{self.url}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.site.posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.do_GET()

    def do_GET(self) -> None:
        asked = self.headers.get("range", "")
        self.site.asked.append((self.path.lstrip("/"), asked))
        page = self.site.pages.get(self.path.lstrip("/"))
        if page is None:
            return self._plain(404)
        if page.statuses:
            return self._plain(page.statuses.pop(0))
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and page.ranges else 0
        if asked and self.headers.get("if-range") != page.etag:
            begin = 0
        if begin and begin >= len(page.body):
            return self._plain(416)
        self._send(page, begin)
        return None

    def _plain(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def _send(self, page: Published, begin: int) -> None:
        body, total = page.body[begin:], len(page.body)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("content-range", f"bytes {begin}-{total - 1}/{total}")
        if page.etag:
            self.send_header("etag", page.etag)
        if page.chunked:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        cut = page.cuts.pop(0) if page.cuts else len(body)
        if page.chunked:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            self.wfile.write(body[:cut])
        if cut < len(body):
            self.close_connection = True


@pytest.fixture
def site() -> Iterator[Site]:
    """A server, empty."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join(5)
