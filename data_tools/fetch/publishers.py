"""The lists of files that publishers' services give, with their sizes and checksums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from data_tools.fetch.catalogue import DatasetEntry, RemoteFile
from data_tools.fetch.http import Patience, ask
from data_tools.fetch.unpack import is_archive
from mmfm.errors import DataError

DATAVERSE = "https://dataverse.harvard.edu/api"
MENDELEY = "https://data.mendeley.com/public-api/datasets"
ISIC = "https://api.isic-archive.com/api/v2"


def files_of(entry: DatasetEntry, client: httpx.Client, patience: Patience) -> list[RemoteFile]:
    """The files of a data set. Raises `DataError` when a service does not answer as it should."""
    if entry.how == "files":
        return list(entry.files)
    try:
        found = _LISTS[entry.how](entry, client, patience)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{entry.name}: the publisher's list has changed ({error!r}): see {entry.page}"
        ) from error
    if not found:
        raise DataError(f"{entry.name}: the publisher's list has no such files: see {entry.page}")
    names = [file.name for file in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:  # in several folders: one would take the place of the other
        raise DataError(f"{entry.name}: the publisher lists {', '.join(twice)} twice: see {entry.page}")
    return found


def addressed(file: RemoteFile, client: httpx.Client, patience: Patience) -> RemoteFile:
    """The file with the address to download it from, to be asked for just before.

    The ISIC archive makes one for each download, and forgets it soon. Raises `DataError` when it makes none.
    """
    if not file.collection:
        return file
    url = ask(client, "POST", f"{ISIC}/zip-download/url/", patience, {"collections": str(file.collection)})
    if not isinstance(url, str):
        raise DataError(f"{file.url}: the archive's address for a download has changed: it is {url!r}")
    return replace(file, url=url)


def _dataverse(entry: DatasetEntry, client: httpx.Client, patience: Patience) -> list[RemoteFile]:
    """Files of the latest version of a Dataverse record, in their original format."""
    url = f"{DATAVERSE}/datasets/:persistentId/?persistentId={quote(entry.id, safe=':/')}"
    listed = ask(client, "GET", url, patience)["data"]["latestVersion"]["files"]
    return [
        _remote(
            entry,
            # a table that the service has read is given back as it was uploaded only on request
            f"{DATAVERSE}/access/datafile/{raw['id']}"
            + ("?format=original" if raw.get("tabularData") else ""),
            raw.get("originalFileName") or raw["filename"],
            None if raw.get("tabularData") else raw["filesize"],
            "" if raw.get("tabularData") else _dataverse_checksum(raw),
        )
        for raw in (file["dataFile"] for file in listed)
        if _wanted(entry, raw.get("originalFileName") or raw["filename"])
    ]


def _dataverse_checksum(raw: dict[str, Any]) -> str:
    checksum = raw.get("checksum") or {"type": "MD5", "value": raw["md5"]}
    return f"{checksum['type'].lower().replace('-', '')}:{checksum['value']}"


def _mendeley(entry: DatasetEntry, client: httpx.Client, patience: Patience) -> list[RemoteFile]:
    """Files of a version of a Mendeley Data record."""
    url = f"{MENDELEY}/{entry.id}?version={entry.version}"
    return [
        _remote(
            entry,
            raw["content_details"]["download_url"],
            raw["filename"],
            raw["content_details"].get("size"),
            f"sha256:{digest}" if (digest := raw["content_details"].get("sha256_hash")) else "",
        )
        for raw in ask(client, "GET", url, patience)["files"]
        if _wanted(entry, raw["filename"])
    ]


def _isic(entry: DatasetEntry, client: httpx.Client, patience: Patience) -> list[RemoteFile]:
    """A zip of each collection, with its metadata.csv."""
    files = []
    for number, word in entry.collections.items():
        page = f"{ISIC}/collections/{number}/"
        name = ask(client, "GET", page, patience)["name"]
        if word.lower() not in name.lower():
            raise DataError(
                f"{entry.name}: collection {number} of the archive is {name!r} now: see {entry.page}"
            )
        into = str(number) if len(entry.collections) > 1 else ""
        files.append(RemoteFile(page, f"isic-{number}.zip", unpack=True, into=into, collection=number))
    return files


def _remote(entry: DatasetEntry, url: str, name: str, size: int | None, checksum: str) -> RemoteFile:
    """A listed file; a checksum of the catalogue goes before the list's."""
    name = PurePosixPath(name.replace("\\", "/")).name
    if name in ("", ".", ".."):
        raise DataError(f"{entry.name}: the publisher lists a file without a name: see {entry.page}")
    return RemoteFile(url, name, size, entry.checksums.get(name, checksum), is_archive(name))


def _wanted(entry: DatasetEntry, name: str) -> bool:
    return not entry.only or any(fnmatch(name, pattern) for pattern in entry.only)


_LISTS: dict[str, Callable[[DatasetEntry, httpx.Client, Patience], list[RemoteFile]]] = {
    "dataverse": _dataverse,
    "mendeley": _mendeley,
    "isic": _isic,
}
