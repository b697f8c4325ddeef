"""One file from a server to disk: resumed where it stopped, checked, and put in its place whole.

Bytes are collected in `NAME.part`; `NAME.part.tag` holds what the server called this version of the file
(ETag or date), so that another version is never appended to it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx

from data_tools.fetch.catalogue import RemoteFile
from data_tools.fetch.http import PassingError, Patience, check_status, failures_told, shown
from mmfm.errors import DataError
from mmfm.files import file_digest, write_atomically
from mmfm.progress import say, track

MEBIBYTE = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def download(file: RemoteFile, target: Path, client: httpx.Client, patience: Patience) -> str:
    """Download to `target`, going on with an earlier part of it, and return its SHA-256.

    Raises `DataError` when the server refuses, fails for good, or gives other bytes than the checksum says,
    and when they cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    failures, furthest = 0, _size(part)
    while True:
        try:
            _receive(file, part, client)
            break
        except PassingError as error:
            failures = 1 if _size(part) > furthest else failures + 1  # coming further is no failure in a row
            furthest = max(furthest, _size(part))
            if failures == patience.tries:
                resumable = _size(part) and _tag(part).is_file()
                kept = "; what came is kept, the same command goes on with it" if resumable else ""
                raise DataError(f"{shown(file.url)}: {error}, {failures} times{kept}") from error
            say(f"{target.name}: {error}; trying again")
            patience.pause(failures, error.response)
        except OSError as error:
            raise DataError(f"{part} cannot be written: {error.strerror or error}") from error
    return _put_in_place(file, part, target)


def _receive(file: RemoteFile, part: Path, client: httpx.Client) -> None:
    """Ask for what is missing and write it. Raises `PassingError` for what may go better the next time."""
    tag = _tag(part)
    have = _size(part)
    if file.size is not None and have == file.size:
        return
    headers = {}
    if have and tag.is_file():
        headers = {"range": f"bytes={have}-", "if-range": tag.read_text(encoding="utf-8")}
    with failures_told(file.url), client.stream("GET", file.url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise PassingError("the server has less than we do: from the beginning", response)
        check_status(response, file.url)
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT and _begins(response) == have
        if response.status_code == httpx.codes.PARTIAL_CONTENT and not resumed:
            part.unlink(missing_ok=True)
            raise PassingError("the server sent another range than asked: from the beginning", response)
        total = _total(response, have if resumed else 0) or file.size
        _check_room(part, (total or 0) - (have if resumed else 0))
        _remember(tag, response)
        with part.open("ab" if resumed else "wb") as out:
            for _ in track(_written(response, out), f"{file.name} (MiB)", _mebibytes(response)):
                pass
            out.flush()
            os.fsync(out.fileno())
    size = _size(part)
    if total is not None and size > total:
        part.unlink()
    if total is not None and size != total:
        raise PassingError(f"{size} bytes came of {total}")


def _written(response: httpx.Response, out: IO[bytes]) -> Iterator[int]:
    """Write the body as it comes, without undoing a content encoding; yield after each MiB."""
    size = 0
    for chunk in response.iter_raw():
        out.write(chunk)
        for mark in range(size // MEBIBYTE, (size + len(chunk)) // MEBIBYTE):
            yield mark + 1
        size += len(chunk)


def _mebibytes(response: httpx.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) // MEBIBYTE if length.isdigit() else None


def _begins(response: httpx.Response) -> int | None:
    found = _RANGE.match(response.headers.get("content-range", ""))
    return int(found[1]) if found else None


def _total(response: httpx.Response, have: int) -> int | None:
    """Bytes of the whole file, as far as the server tells."""
    found = _RANGE.match(response.headers.get("content-range", ""))
    if found and found[3] != "*":
        return int(found[3])
    length = response.headers.get("content-length", "")
    return have + int(length) if length.isdigit() else None


def _remember(tag: Path, response: httpx.Response) -> None:
    """Keep the name of this version; a server that gives none, or a weak one, is never asked for a range."""
    name = response.headers.get("etag", "")
    if not name or name.startswith("W/"):
        name = response.headers.get("last-modified", "")
    if name:
        write_atomically(tag, name)
    else:
        tag.unlink(missing_ok=True)


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DataError(
            f"{part.parent} has {free / 1e9:.1f} GB left, {part.stem} needs {needed / 1e9:.1f} GB more"
        )


def _put_in_place(file: RemoteFile, part: Path, target: Path) -> str:
    """Check the bytes and give them their name. What fails the check is removed: it is of no use."""
    digest = file_digest(part)
    algorithm, _, wanted = file.checksum.partition(":")
    if wanted:
        assert algorithm in hashlib.algorithms_available, file
        found = digest if algorithm == "sha256" else file_digest(part, algorithm)
        if found != wanted.lower():
            part.unlink()
            _forget(part)
            raise DataError(
                f"{shown(file.url)}: the {algorithm} of what came is {found}, it should be {wanted}. It was "
                "removed: try again, and if it stays so, the publisher has changed the file"
            )
    part.replace(target)
    _forget(part)
    return digest


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _forget(part: Path) -> None:
    _tag(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
