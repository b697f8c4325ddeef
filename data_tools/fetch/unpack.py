"""Unpacking archives from elsewhere: nothing outside the folder, no links, no bombs.

Each member is written under another name and renamed, so an interrupted run leaves no half file; running it
again writes the same files again.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from mmfm.errors import DataError
from mmfm.progress import track

LIMIT = 300 * 10**9  # bytes of all members together
MEMBERS = 5_000_000
CHUNK = 1 << 20
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
Member = tuple[str, int, IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.lower().endswith((".zip", *TARS))


def unpack(archive: Path, folder: Path, limit: int = LIMIT) -> int:
    """Write the members of a zip or tar below `folder` and return how many there were.

    Raises `DataError` for an archive that is damaged or encrypted, that names a place outside `folder`, holds
    links or devices, a file twice, or more than `limit` bytes or more than the disk has left, or that cannot
    be written. All names are looked at before the first file is written.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return _write(
                    _zip_members(zipped, archive, folder), len(zipped.infolist()), archive, folder, limit
                )
        with tarfile.open(archive) as tarred:
            members = tarred.getmembers()
            return _write(
                _tar_members(tarred, members, archive, folder), len(members), archive, folder, limit
            )
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
    ) as error:
        raise DataError(f"{archive} is damaged ({error}): delete it and fetch it again") from error
    except OSError as error:  # a full disk, a file where a folder should be, a checksum of gzip
        raise DataError(f"{archive} cannot be unpacked: {error}") from error


def _zip_members(zipped: zipfile.ZipFile, archive: Path, folder: Path) -> Iterator[Member]:
    """Files of a zip, after all members have been looked at."""
    infos = zipped.infolist()
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: {info.filename!r} is a link or a device: not unpacked")
        if info.flag_bits & 1:
            raise DataError(f"{archive} is encrypted: unpack it by hand, with its password")
        _safe(info.filename, archive)
    _check_files(((i.filename, i.file_size) for i in infos if not i.is_dir()), archive, folder)
    for info in infos:
        if not info.is_dir():
            with zipped.open(info) as file:
                yield info.filename, info.file_size, file


def _tar_members(
    tarred: tarfile.TarFile, members: list[tarfile.TarInfo], archive: Path, folder: Path
) -> Iterator[Member]:
    """Files of a tar, after all members have been looked at."""
    for member in members:
        if not (member.isfile() or member.isdir()):
            raise DataError(f"{archive}: {member.name!r} is a link or a device: not unpacked")
        _safe(member.name, archive)
    _check_files(((member.name, member.size) for member in members if member.isfile()), archive, folder)
    for member in members:
        if member.isfile():
            file = tarred.extractfile(member)
            assert file is not None
            yield member.name, member.size, file


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The path of a member. Raises `DataError` for one that leads out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]
    if outside or not name or "\0" in name:
        raise DataError(f"{archive}: {name!r} leads out of its folder: nothing of it was unpacked")
    return path


def _check_files(files: Iterable[tuple[str, int]], archive: Path, folder: Path) -> None:
    """Refuse a file that stands twice, one of which would be lost, and more bytes than there is room for.

    What an earlier run has unpacked takes no further room.
    """
    seen: set[PurePosixPath] = set()
    needed = 0
    for name, size in files:
        path = _safe(name, archive)
        if path in seen:
            raise DataError(f"{archive} has {name!r} twice: unpack it by hand, and see which is meant")
        seen.add(path)
        there = folder / path
        needed += max(0, size - (there.stat().st_size if there.is_file() else 0))
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DataError(
            f"{there} has {free / 1e9:.1f} GB left, what is in {archive.name} needs {needed / 1e9:.1f} GB"
        )


def _write(members: Iterator[Member], count: int, archive: Path, folder: Path, limit: int) -> int:
    if count > MEMBERS:
        raise DataError(f"{archive} has {count} members, more than {MEMBERS}: unpack it by hand")
    folder.mkdir(parents=True, exist_ok=True)
    inside = folder.resolve()
    left, written = limit, 0
    for name, size, file in track(members, f"unpacking {archive.name}", count):
        target = folder / _safe(name, archive)
        if not target.parent.resolve().is_relative_to(inside):  # by a link that lay there before
            raise DataError(f"{archive}: {name!r} would be written outside {folder}")
        target.parent.mkdir(parents=True, exist_ok=True)
        left -= _write_one(file, target, min(size, left), archive)
        written += 1
    return written


def _write_one(file: IO[bytes], target: Path, allowed: int, archive: Path) -> int:
    """Write a member of at most `allowed` bytes; return how many it had."""
    draft = target.with_name(f".{target.name}.part")
    size = 0
    try:
        with draft.open("wb") as out:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > allowed:
                    raise DataError(
                        f"{archive}: more bytes than it says or than are allowed: not unpacked further"
                    )
                out.write(chunk)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return size
