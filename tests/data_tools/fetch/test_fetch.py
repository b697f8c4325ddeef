"""Data sets of the catalogue, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_tools.config import SourceConfig
from data_tools.fetch import catalogue, entries_of, fetch
from data_tools.fetch.catalogue import DatasetEntry, RemoteFile
from data_tools.fetch.fetch import LOCK, RECEIPT
from data_tools.fetch.http import Patience
from data_tools.sources import ADAPTERS
from data_tools.sources.reference import DATASETS
from mmfm.errors import ConfigError, DataError

PATIENCE = Patience(tries=2, wait=0.0, longest=0.01, timeout=5.0)


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for name, body in files.items():
            zipped.writestr(name.replace("__", "/").replace("_dot_", "."), body)
    return packed.getvalue()


def entry(site: Any, **changes: Any) -> DatasetEntry:
    """A made-up data set: a table, and images in a zip."""
    files = (
        RemoteFile(site.publish("table.csv", b"a,b\n"), "table.csv"),
        RemoteFile(site.publish("images.zip", archive(images__1_dot_jpg=b"one")), "images.zip", unpack=True),
    )
    given: dict[str, Any] = {
        "name": "some", "title": "Some", "license": "CC0-1.0", "page": "p", "size": "s", "how": "files",
        "files": files, "holds": ("table.csv", "images/*.jpg"), "source": {"kind": "sd198"},
    }  # fmt: skip
    return DatasetEntry(**{**given, **changes})


def run(entry: DatasetEntry, output: Path, **options: Any) -> list[str]:
    return fetch(entry, output, patience=PATIENCE, **options)


def test_a_second_run_does_nothing(site: Any, tmp_path: Path) -> None:
    some = entry(site)
    assert run(some, tmp_path) == []
    folder = tmp_path / "some"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"table.csv", "images/1.jpg", RECEIPT, LOCK}
    receipt = json.loads((folder / RECEIPT).read_text())
    assert receipt["complete"] and receipt["license"] == "CC0-1.0"
    assert receipt["files"]["table.csv"]["sha256"] == hashlib.sha256(b"a,b\n").hexdigest()
    asked = len(site.asked)
    assert run(some, tmp_path) == [] and len(site.asked) == asked == 2
    assert some.recipe() == "- {kind: sd198, root: some}"


def test_what_is_gone_is_fetched_again_and_a_changed_file_is_said(
    site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = entry(site)
    run(some, tmp_path)
    (tmp_path / "some" / "table.csv").unlink()
    site.publish("table.csv", b"changed\n")
    run(some, tmp_path)
    assert (tmp_path / "some" / "table.csv").read_bytes() == b"changed\n"
    assert [path for path, _ in site.asked] == ["table.csv", "images.zip", "table.csv"]
    assert "table.csv is not what it was at an earlier download" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(site: Any, tmp_path: Path) -> None:
    some = entry(site)
    site.pages["images.zip"].statuses[:] = [500, 500]
    with pytest.raises(DataError, match=r"images\.zip: HTTP 500, 2 times"):
        run(some, tmp_path)
    assert run(some, tmp_path, keep=True) == []
    assert [path for path, _ in site.asked] == ["table.csv", "images.zip", "images.zip", "images.zip"]
    assert (tmp_path / "some" / "images.zip").is_file()  # kept


def test_an_evil_archive_leaves_no_complete_set(site: Any, tmp_path: Path) -> None:
    some = entry(site)
    site.publish("images.zip", archive(**{"..__evil": b"x"}))
    for _ in range(2):
        with pytest.raises(DataError, match="leads out of its folder"):
            run(some, tmp_path)
    assert not list(tmp_path.rglob("evil"))


def test_what_a_person_must_do(site: Any, tmp_path: Path) -> None:
    some = entry(site, how="person", files=(), steps=("Ask nicely.",), holds=("meta.csv",))
    lines = run(some, tmp_path)
    assert lines[0] == "some: Some" and "(lacks meta.csv)" in lines[3] and lines[4] == "  1. Ask nicely."
    assert site.asked == []
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "meta.csv").write_text("")
    assert run(some, tmp_path) == []


def test_downloads_that_do_not_hold_everything(site: Any, tmp_path: Path) -> None:
    some = entry(site, holds=("table.csv", "pictures/*"))
    with pytest.raises(DataError, match=r"lacks pictures/\* though all was downloaded"):
        run(some, tmp_path)
    (tmp_path / "some" / RECEIPT).unlink()  # as the message says
    asked = len(site.asked)
    with pytest.raises(DataError, match=r"delete .*fetched\.json"):
        run(some, tmp_path)
    assert len(site.asked) == asked + 2
    partly = replace(some, steps=("Have the pictures from their owners.",))
    assert run(partly, tmp_path)[-1] == "  1. Have the pictures from their owners."


def test_two_processes_do_not_meet(site: Any, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "some").mkdir()
    with (tmp_path / "some" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is fetching"):
            run(entry(site), tmp_path)


def test_dataverse(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_tools.fetch.publishers.DATAVERSE", site.url)
    digest = hashlib.md5(b"a\n").hexdigest()
    files = [
        {"id": 1, "filename": "S_a.csv", "filesize": 2, "md5": digest},
        {"id": 2, "filename": "S_t.tab", "originalFileName": "S_t.csv", "filesize": 9, "tabularData": True},
        {"id": 3, "filename": "other.pdf", "filesize": 1, "md5": "0"},
    ]
    site.publish(
        "datasets/:persistentId/?persistentId=doi:10.1/X",
        {"data": {"latestVersion": {"files": [{"dataFile": file} for file in files]}}},
    )
    site.publish("access/datafile/1", b"a\n")
    site.publish("access/datafile/2?format=original", b"t\n")
    some = entry(site, how="dataverse", id="doi:10.1/X", only=("S_*",), holds=("S_a.csv", "S_t.csv"))
    assert run(some, tmp_path) == []
    site.publish("access/datafile/1", b"b\n")
    (tmp_path / "some" / "S_a.csv").unlink()
    with pytest.raises(DataError, match="the md5 of what came"):
        run(some, tmp_path)


def test_mendeley(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_tools.fetch.publishers.MENDELEY", site.url)
    packed = archive(part__1_dot_png=b"x")
    details = {
        "download_url": site.publish("dl/1", packed),
        "sha256_hash": hashlib.sha256(packed).hexdigest(),
        "size": len(packed),
    }
    site.publish("zr7?version=1", {"files": [{"filename": "imgs.zip", "content_details": details}]})
    some = entry(site, how="mendeley", id="zr7", holds=("part/*",))
    assert run(some, tmp_path) == []
    known = replace(some, name="known", checksums={"imgs.zip": "sha256:" + "0" * 64})
    with pytest.raises(DataError, match="it should be 0000"):  # what we know goes before what the list says
        run(known, tmp_path)


def test_isic(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_tools.fetch.publishers.ISIC", site.url)
    site.publish("collections/289/", {"id": 289, "name": "MSK-1"})
    site.publish("collections/290/", {"id": 290, "name": "Something else"})
    site.publish("zip-download/url/", site.publish("signed", archive(metadata_dot_csv=b"isic_id\n")))
    some = entry(site, how="isic", collections={289: "msk"}, holds=("metadata.csv",))
    assert run(some, tmp_path) == []
    assert site.posted == [{"collections": "289"}]
    receipt = json.loads((tmp_path / "some" / RECEIPT).read_text())
    assert list(receipt["files"]) == ["isic-289.zip"]
    with pytest.raises(DataError, match="collection 290 of the archive is 'Something else' now"):
        run(replace(some, name="two", collections={289: "msk", 290: "msk"}), tmp_path)
    two = replace(some, name="both", collections={289: "msk", 290: "else"}, holds=("*/metadata.csv",))
    assert run(two, tmp_path) == []
    assert (tmp_path / "both" / "290" / "metadata.csv").is_file()
    made = [path for path, _ in site.asked if path in ("zip-download/url/", "signed")]
    assert made == ["zip-download/url/", "signed"] * 3  # each address is made just before it is used
    receipt = json.loads((tmp_path / "both" / RECEIPT).read_text())
    assert {entry["url"] for entry in receipt["files"].values()} == {f"{site.url}/signed"}
    site.publish("zip-download/url/", {"url": "x"})
    with pytest.raises(DataError, match="address for a download has changed"):
        run(replace(some, name="later"), tmp_path)


@pytest.mark.parametrize(
    "files",
    [None, [], {"table.csv": {}}, {"table.csv": "x"}, {"table.csv": {"unpacked": False, "bytes": "4"}}],
)
def test_a_receipt_with_odd_entries_is_damaged(site: Any, tmp_path: Path, files: Any) -> None:
    some = entry(site)
    run(some, tmp_path)
    path = tmp_path / "some" / RECEIPT
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))
    with pytest.raises(DataError, match=r"fetched\.json is damaged: delete it to fetch anew"):
        run(some, tmp_path)


@pytest.mark.parametrize("answer", [{"data": {}}, {"data": {"latestVersion": {"files": []}}}, b"<html>"])
def test_a_publishers_list_that_has_changed(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr("data_tools.fetch.publishers.DATAVERSE", site.url)
    site.publish("datasets/:persistentId/?persistentId=doi:1", answer)
    with pytest.raises(DataError, match=r"list has|does not answer with JSON"):
        run(entry(site, how="dataverse", id="doi:1"), tmp_path)


def test_one_name_twice_in_a_publishers_list(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_tools.fetch.publishers.MENDELEY", site.url)
    files = [{"filename": f"{folder}/1.png", "content_details": {"download_url": ""}} for folder in "ab"]
    site.publish("x?version=1", {"files": files})
    with pytest.raises(DataError, match=r"lists 1\.png twice"):
        run(entry(site, how="mendeley", id="x"), tmp_path)


def test_the_catalogue_has_every_data_set_and_a_way_to_it() -> None:
    reference = {name.split("_clinic")[0].split("_dermo")[0] for name, _, _ in DATASETS.values()}
    assert reference | {"dermavqa"} <= set(catalogue())
    for known in catalogue().values():
        assert known.license and known.page.startswith("https://") and known.holds, known.name
        assert bool(known.steps) or known.how != "person", known.name
        kind = known.source.get("kind", "table")
        assert kind in ADAPTERS and set(known.source) <= set(SourceConfig.__dataclass_fields__)
        for file in known.files:
            assert file.name and "/" not in file.name


def test_names() -> None:
    assert [known.name for known in entries_of(["ham10000", "milk10k", "ham10000"])] == [
        "ham10000",
        "milk10k",
    ]
    with pytest.raises(ConfigError, match="no data set 'ham1000': did you mean ham10000"):
        entries_of(["ham1000"])
