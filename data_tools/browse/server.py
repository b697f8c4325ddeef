"""The server behind the page: addresses to pages and images, for this machine unless told otherwise."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL.Image import DecompressionBombError

from data_tools.browse.pages import Pages, link, read_assets
from data_tools.browse.pictures import Pictures
from data_tools.browse.query import Query
from data_tools.browse.select import Selector
from data_tools.browse.table import Table
from mmfm.data.index import CorruptSample
from mmfm.errors import ConfigError
from mmfm.progress import say

HTML, JSON, JPEG = "text/html; charset=utf-8", "application/json", "image/jpeg"
# Notes and metadata may hold anything: were one ever to become markup, it could still load and run nothing.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # this machine, as browsers write it
REFUSAL = "<p>This server answers to its own names only: start it with --allow-host to add one."
IDLE_SECONDS = 60  # after which a silent connection is closed


class Site:
    """What is at which address."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.selector = Selector(table)
        self.pages = Pages(table, self.selector)
        self.pictures = Pictures(table)
        self.assets = read_assets()
        self._roads: dict[str, Callable[[Query, str], Answer]] = {
            "/": self._grid,
            "/sample": self._sample,
            "/thumb": partial(self._picture, self.pictures.small),
            "/image": partial(self._picture, self.pictures.whole),
            "/api/samples": self._api_samples,
            "/api/sample": self._api_sample,
        }

    def answer(self, address: str) -> Answer:
        """The answer to GET `address`: a path and a query string."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return self._nothing("", "This is no address.")
        if parts.path in self.assets:
            kind, body = self.assets[parts.path]
            return Answer(HTTPStatus.OK, kind, body)
        road = self._roads.get(parts.path)
        if road is None:
            return self._nothing(parts.path, "There is no such page.")
        key = parse_qs(parts.query, errors="replace").get("key", [""])[-1]
        try:
            return road(Query.parse(parts.query), key)
        except CorruptSample as error:
            return self._nothing(parts.path, f"{error} {self.table.folder}")

    def _grid(self, query: Query, key: str) -> Answer:
        return Answer.of(self.pages.grid(query))

    def _sample(self, query: Query, key: str) -> Answer:
        number = self.table.number.get(key)
        if number is None:
            return self._nothing("/sample", f"There is no sample {key!r} in these shards.")
        return Answer.of(self.pages.sample(query, number))

    def _picture(self, read: Callable[[int], bytes], query: Query, key: str) -> Answer:
        number = self.table.number.get(key)
        if number is None:
            return self._nothing("/image", f"There is no sample {key!r} in these shards.")
        try:
            return Answer(HTTPStatus.OK, JPEG, read(number), keep=True)
        except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:  # as Pillow raises them
            return self._nothing("/image", f"The image of {key} cannot be shown: {error}")

    def _api_samples(self, query: Query, key: str) -> Answer:
        page = self.selector.page(query)
        return Answer.of(
            {
                "total": self.selector.total(query),
                "page": page.number,
                "pages": page.pages,
                "classes": self.selector.classes(query),
                "samples": [
                    {**self.pages.card(sample), "url": self._url(query, sample)} for sample in page.samples
                ],
            }
        )

    def _api_sample(self, query: Query, key: str) -> Answer:
        number = self.table.number.get(key)
        if number is None:
            return Answer.of({"error": f"no sample {key!r}"}, HTTPStatus.NOT_FOUND)
        record = self.table.record(number)
        return Answer.of({"record": record.to_json(), "refused": self.table.refused(number)})

    def _url(self, query: Query, sample: int) -> str:
        return link("/sample", query.but(page=1), key=self.table.keys[sample])

    def _nothing(self, path: str, text: str) -> Answer:
        if path.startswith("/api/"):
            return Answer.of({"error": text}, HTTPStatus.NOT_FOUND)
        return Answer.of(self.pages.message("Nothing to show", text), HTTPStatus.NOT_FOUND)


class Answer:
    """What goes back to a browser. `keep`: it may be kept for good under this address."""

    def __init__(self, status: HTTPStatus, kind: str, body: bytes, keep: bool = False) -> None:
        self.status, self.kind, self.body, self.keep = status, kind, body, keep

    @classmethod
    def of(cls, content: str | dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
        """A page, or a JSON object."""
        if isinstance(content, str):
            return cls(status, HTML, content.encode("utf-8", errors="replace"))
        return cls(status, JSON, json.dumps(content, ensure_ascii=False).encode("utf-8", errors="replace"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        if not self.server.answers_to(self.headers.get("Host", "")):
            self._send(Answer.of(REFUSAL, HTTPStatus.FORBIDDEN))
            return
        self._send(self.server.site.answer(self.path))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        kept = "private, max-age=86400, immutable" if answer.keep else "no-cache"
        headers = {"Content-Type": answer.kind, "Content-Length": len(answer.body), "Cache-Control": kept}
        for name, value in {**headers, **HEADERS}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer.body)

    def handle(self) -> None:
        """Serve a connection; a browser that leaves in the middle of an image is no error."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing: the terminal is for people."""

    def version_string(self) -> str:
        """Who answers."""
        return "mmfm"


class Server(ThreadingHTTPServer):
    """A site at an address; it listens once it is made."""

    daemon_threads = True

    def __init__(self, site: Site, host: str, port: int, allowed: Sequence[str] = ()) -> None:
        self.site = site
        self.names = {name.lower() for name in (*LOOPBACK, *allowed, f"[{host}]" if ":" in host else host)}
        if not _is_loopback(host):
            self.names |= {name.lower() for name in (socket.gethostname(), socket.getfqdn())}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        super().__init__((host, port), _Handler)

    def answers_to(self, host: str) -> bool:
        """Whether it may be asked for as `host`: a foreign page cannot lend this server its own name.

        Those are the names of this machine and the allowed ones; beyond loopback numeric addresses too, which
        no page can make its own. Any port will do: that of a tunnel is not ours.
        """
        name = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(:\d*)?", host.lower())
        if name is None:
            return False
        return name[1] in self.names or (not _is_loopback(self.host) and _is_address(name[1].strip("[]")))

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = str(self.server_address[0])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def make_server(
    folder: Path, host: str = "127.0.0.1", port: int = 0, workers: int = 0, allowed: Sequence[str] = ()
) -> Server:
    """A server that listens already; `serve_forever` starts it. Port 0 takes a free one.

    `allowed` are further names that it may be asked for by. Raises `DataError` without a finished folder of
    shards, `ConfigError` for an address that is taken or not of this machine.
    """
    site = Site(Table(Path(folder), workers))
    try:
        return Server(site, host, port, allowed)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "ports end at 65535"
        raise ConfigError(f"cannot listen at {host}:{port} ({reason}): choose another --port") from error


def browse(folder: Path, host: str, port: int, open_browser: bool, allowed: Sequence[str] = ()) -> None:
    """Serve a folder of shards until Ctrl-C. Prints the address to stdout once it can be asked for."""
    server = make_server(folder, host, port, allowed=allowed)
    table = server.site.table
    say(f"{len(table)} samples of {folder}; Ctrl-C ends")
    if table.unreadable:
        lost = f", {table.lost_shards} whole shards among them" if table.lost_shards else ""
        say(
            f"{table.unreadable} samples{lost}, cannot be read and are not shown: "
            f"run `mmfm data verify {folder}`"
        )
    if not _is_loopback(host):
        say(f"{host} is no loopback address: whoever reaches this machine sees the images and notes")
    print(server.url, flush=True)
    if open_browser:  # beside the server, as a browser in a terminal returns only when it is left
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("")
    finally:
        server.server_close()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
