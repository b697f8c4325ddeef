"""`fetch`: a data set of the catalogue into its folder, or what a person must do for it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from data_tools.fetch.catalogue import DatasetEntry, RemoteFile
from data_tools.fetch.download import download
from data_tools.fetch.http import Patience, new_client, shown
from data_tools.fetch.publishers import addressed, files_of
from data_tools.fetch.unpack import unpack
from mmfm.errors import DataError
from mmfm.files import write_atomically
from mmfm.progress import say

RECEIPT = "fetched.json"  # what was downloaded, with its digest; a second run goes by it
LOCK = ".fetch.lock"


def fetch(
    entry: DatasetEntry, output: Path, keep: bool = False, patience: Patience | None = None
) -> list[str]:
    """Download a data set into `output / entry.name`, as far as its licence lets us.

    Goes on where an earlier run stopped; what is there already is not downloaded again. Archives are removed
    once they are unpacked, unless `keep`. Returns what is left for a person to do, as lines; none if the
    data set is complete. Raises `DataError` when a download fails or is not what it should be.
    """
    folder = output / entry.name
    if entry.how != "person" and not _settled(entry, folder):
        folder.mkdir(parents=True, exist_ok=True)
        patience = patience or Patience()
        say(f"{entry.name}: licence {entry.license}, {entry.page}")
        with _alone(folder), new_client(patience) as client:
            _fetch_files(entry, folder, client, patience, keep)
    missing = entry.missing(folder)
    if not missing:
        return []
    if not entry.steps:
        raise DataError(
            f"{entry.name}: {folder} lacks {', '.join(missing)} though all was downloaded: delete "
            f"{folder / RECEIPT} to download it again, or see {entry.page}"
        )
    return [
        f"{entry.name}: {entry.title}",
        f"  licence: {entry.license}",
        f"  page:    {entry.page}",
        f"  folder:  {folder} (lacks {', '.join(missing)})",
        *(f"  {number}. {step}" for number, step in enumerate(entry.steps, start=1)),
    ]


def _settled(entry: DatasetEntry, folder: Path) -> bool:
    """Whether all files are there by the receipt, so that the publisher need not be asked."""
    receipt = _read(folder)
    done = receipt.get("complete", False) and all(
        _in_place(folder, name, receipt) for name in receipt.get("files", {})
    )
    return bool(done and (entry.steps or not entry.missing(folder)))


def _fetch_files(
    entry: DatasetEntry, folder: Path, client: httpx.Client, patience: Patience, keep: bool
) -> None:
    receipt = _read(folder)
    receipt = {"dataset": entry.name, "license": entry.license, "page": entry.page, "files": {}, **receipt}
    receipt["complete"] = False
    for file in files_of(entry, client, patience):
        if not _in_place(folder, file.name, receipt):
            file = addressed(file, client, patience)
            target = folder / file.name
            earlier = receipt["files"].get(file.name, {}).get("sha256")
            digest = download(file, target, client, patience)
            if earlier not in (None, digest):
                say(f"{entry.name}: {file.name} is not what it was at an earlier download")
            size = target.stat().st_size
            receipt["files"][file.name] = {"sha256": digest, "bytes": size, **_origin(file)}
            _write(folder, receipt)
        _unpack(file, folder, receipt, keep)
    receipt["complete"] = True
    _write(folder, receipt)


def _origin(file: RemoteFile) -> dict[str, Any]:
    """Where a file came from; not the signed part of an address, which holds for a while only."""
    return {
        "url": shown(file.url),
        "checked": file.checksum or "nothing to check it by",
        "unpacked": False,
    }


def _unpack(file: RemoteFile, folder: Path, receipt: dict[str, Any], keep: bool) -> None:
    entry = receipt["files"][file.name]
    if not file.unpack or entry["unpacked"]:
        return
    unpack(folder / file.name, folder / file.into)
    entry["unpacked"] = True
    _write(folder, receipt)
    if not keep:
        (folder / file.name).unlink()


def _in_place(folder: Path, name: str, receipt: dict[str, Any]) -> bool:
    """Whether a file was downloaded before and is there, or was unpacked."""
    entry = receipt.get("files", {}).get(name)
    if entry is None:
        return False
    path = folder / name
    return entry["unpacked"] or (path.is_file() and path.stat().st_size == entry["bytes"])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RECEIPT
    if not path.is_file():
        return {}
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): delete it to fetch anew") from error
    if not isinstance(receipt, dict) or not _is_list(receipt.get("files", {})):
        raise DataError(f"{path} is damaged: delete it to fetch anew")
    return receipt


def _is_list(files: Any) -> bool:
    """Whether `files` of a receipt has what is read of it."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("unpacked"), bool)
        and isinstance(entry.get("bytes"), int)
        for entry in files.values()
    )


def _write(folder: Path, receipt: dict[str, Any]) -> None:
    write_atomically(
        folder / RECEIPT, json.dumps(receipt, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with it, however it ends."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another process is fetching into {folder}: wait for it, or end it") from error
        yield
