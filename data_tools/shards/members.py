"""The members of a tar that may be damaged: all that can still be found, and where it is broken."""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

END_MARK = bytes(2 * tarfile.BLOCKSIZE)  # a tar ends with two blocks of zeros


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, and where its data lies, in bytes."""

    name: str
    offset: int
    size: int


@dataclass
class Scan:
    """What was found in a tar. `unreadable` holds the offsets of headers that are damaged."""

    members: list[Member] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    truncated: bool = False  # the file ends before the tar does


def scan(file: BinaryIO, headers: Sequence[int] = ()) -> Scan:
    """List the members of a tar. Behind a damaged header the search goes on at the next of `headers`.

    `headers` are ascending offsets at which headers should stand, as an index of the tar tells them.
    """
    found = Scan()
    position = 0
    while True:
        position = _scan_from(file, position, found)
        file.seek(position)
        mark = file.read(len(END_MARK))
        found.truncated = len(mark) < len(END_MARK)
        following = headers[bisect_right(headers, position) :]
        if found.truncated or (mark == END_MARK and not following):
            return found
        found.unreadable.append(position)
        if not following:
            return found
        position = following[0]


def _scan_from(file: BinaryIO, position: int, found: Scan) -> int:
    """Take the members from `position` up to the end or the first damaged header; return where it stands."""
    file.seek(position)
    end = position
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                end = tar.offset
                if info.isfile():
                    found.members.append(Member(info.name, info.offset_data, info.size))
    except tarfile.TarError:  # a damaged first header, or the data of the last member is cut short
        pass
    return end
