"""Lines on disk that survive a kill: each writing process appends to a file of its own, readers merge them.

A line is a JSON object that begins with a checksum of its other bytes. A file is never opened for writing
again, so a line that a kill cut short is the last of its file, and no two writers meet, on whatever node.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfm.errors import DataError

SUFFIX = ".jsonl"
MARK = b'{"sum":"'
DIGITS = 16  # hexadecimal, of the checksum
HEAD = len(MARK) + DIGITS + len(b'",')
MOST_WAITING = 4096  # lines; whoever adds more waits for the disk


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is."""

    path: Path
    offset: int  # bytes
    length: int  # bytes, with the line's end


def encode(value: Mapping[str, Any]) -> bytes:
    """The line of a JSON object that is not empty."""
    body = json.dumps(value, separators=(",", ":")).encode()[1:]
    return MARK + _checksum(body) + b'",' + body + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The object of a line, with its checksum as `sum`; None for one that is damaged, or has no end."""
    if not line.endswith(b"\n") or line[:HEAD] != MARK + _checksum(line[HEAD:-1]) + b'",':
        return None
    value: dict[str, Any] = json.loads(line)
    return value


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:DIGITS].encode()


class LineWriter:
    """Appends to a new file below `folder`.

    `append` returns at once. A thread writes what has come meanwhile and flushes it to disk together, so that
    slow disks cost time by the batch, not by the line. `durable` counts the lines that are safe.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self.path = folder / name
        self.durable = 0
        self._added = 0
        self._waiting: list[bytes] = []
        self._closed = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def append(self, value: Mapping[str, Any]) -> None:
        """Take a line. Raises `DataError` where an earlier one could not be written."""
        line = encode(value)
        with self._changed:
            assert not self._closed
            self._start()
            self._changed.wait_for(lambda: self._error or len(self._waiting) < MOST_WAITING)
            self._check()
            self._waiting.append(line)
            self._added += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until every line taken so far is on disk. Raises as `append`."""
        with self._changed:
            goal = self._added
            self._changed.wait_for(lambda: self._error or self.durable >= goal)
            self._check()

    def close(self) -> None:
        """Flush, and take no more. Raises as `append`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._error:
            reason = getattr(self._error, "strerror", None) or repr(self._error)
            raise DataError(
                f"{self.path}: cannot be written: {reason}. The {self.durable} lines written before are "
                "safe: mend that, and run the same command again"
            ) from self._error

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, daemon=True, name="note-writer")
            self._thread.start()

    def _write_all(self) -> None:
        """The thread: batch after batch, until closed."""
        try:
            file = _create(self.path)
            try:
                while lines := self._next_batch():
                    _write(file, b"".join(lines))
                    os.fsync(file)
                    with self._changed:
                        self.durable += len(lines)
                        self._changed.notify_all()
            finally:
                os.close(file)
        except Exception as error:  # nothing is appended behind a line that may be half there
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next_batch(self) -> list[bytes]:
        """What waits; none once closed and written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            lines, self._waiting = self._waiting, []
            self._changed.notify_all()
            return lines


class LineReader:
    """Reads the files below `folder`, again and again, each line once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn: set[Path] = set()  # files whose last line has no end: cut short, or being written
        self.damaged: list[Place] = []  # lines that are whole but not what was written
        self._read: dict[Path, int] = {}  # bytes

    def new(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The lines that have come since the last call, by file name and position."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            offset = self._read.get(path, 0)
            if path.stat().st_size == offset:
                continue
            self.torn.discard(path)
            for place, line in _lines(path, offset):
                if not line.endswith(b"\n"):
                    self.torn.add(path)
                    break
                self._read[path] = place.offset + place.length
                value = decode(line)
                if value is None:
                    self.damaged.append(place)
                else:
                    yield place, value


def read_places(places: Iterable[Place]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The lines at `places`, read file by file from front to back. Raises `DataError` where one is gone."""
    by_file: dict[Path, list[Place]] = {}
    for place in places:
        by_file.setdefault(place.path, []).append(place)
    for path, wanted in sorted(by_file.items()):
        if not path.is_file():
            raise DataError(f"{path} was there and is gone: put it back, or run the command again")
        with path.open("rb") as file:
            for place in sorted(wanted, key=lambda place: place.offset):
                file.seek(place.offset)
                value = decode(file.read(place.length))
                if value is None:
                    raise DataError(f"{path} has changed while it was read: run the command again")
                yield place, value


def _lines(path: Path, offset: int) -> Iterator[tuple[Place, bytes]]:
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            yield Place(path, offset, len(line)), line
            offset += len(line)


def _create(path: Path) -> int:
    """Open a new file for appending, whose name is on disk before its first line."""
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
    for folder in dict.fromkeys((path.parent, path.parent.parent, *(folder.parent for folder in made))):
        _flush_folder(folder)
    return file


def _flush_folder(folder: Path) -> None:
    """Have the names in `folder` on disk, where its file system can do that for a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
