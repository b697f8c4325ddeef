"""A folder of shards with all that the page can show, and a server over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_shards import write_tiny

from data_tools.browse import make_server
from mmfm.records import Note, Record

SCRIPT = "<script>document.title='owned'</script>"
SEXES = ("female", "male", "")


def audited(name: str, text: str, *found: tuple[str, str]) -> Note:
    """A note with findings of (kind, words of the text)."""
    findings = [
        {
            "kind": kind,
            "detail": f"says {words}",
            "start": text.index(words),
            "end": text.index(words) + len(words),
        }
        for kind, words in found
    ]
    scores = {"recall": 0.5, "precision": 1.0}
    return Note(name, text, {"backend": "template"}, {"findings": findings, "scores": scores})


def records() -> dict[str, list[Record]]:
    """70 samples in train, so two pages; five in test."""
    train = [
        Record(
            "set",
            f"{number:03d}",
            "drawn",
            label=number % 8,
            subclass="blue nevus" if number % 8 == 2 else "",
            age=None if number % 10 == 0 else float(number),
            sex=SEXES[number % 3],
            notes={"M": audited("M", f"Sample number {number} with a pigment Network.")},
        )
        for number in range(70)
    ]
    train[6].notes["L1"] = audited(
        "L1", "A benign mole of a man aged 30.", ("malignancy", "benign"), ("age", "aged 30")
    )
    hostile = Record(
        "other&set",
        '"><b>x</b>',
        "drawn",
        site=SCRIPT,
        extras={SCRIPT: SCRIPT},
        notes={"M": Note("M", f"Said {SCRIPT} & more.", {"model": SCRIPT})},
    )
    plain = [Record("set", f"t{number}", "clinical", label=6) for number in range(4)]
    return {"train": train, "test": [*plain, hostile]}


REFUSED = {
    "key": "set-006",
    "note": "L2-medgemma",
    "text": "It is surely a dermatofibroma.",
    "reasons": ["class", "skin_tone"],
    "findings": [{"kind": "class", "detail": "says dermatofibroma", "start": 15, "end": 29}],
    "provenance": {"model": "medgemma"},
}


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; tests do not write there."""
    return write_tiny(tmp_path_factory.mktemp("browse") / "shards", records(), 30, refused=[REFUSED])


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """`serve(folder)`: the address of a server over it, without the last slash."""
    servers = []

    def serve(folder: Path) -> str:
        server = make_server(folder, workers=1)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.url.rstrip("/")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def site(shards: Path, serve: Callable[[Path], str]) -> str:
    """The address of a server over `shards`."""
    return serve(shards)
