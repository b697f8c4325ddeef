"""One file from a server: resumed, restarted, checked, refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_tools.fetch.catalogue import RemoteFile
from data_tools.fetch.download import download
from data_tools.fetch.http import Patience, new_client
from mmfm.errors import DataError

PATIENCE = Patience(tries=4, wait=0.0, longest=0.01, timeout=5.0)
BODY = hashlib.shake_256(b"a file").digest(100_000)
SHA = hashlib.sha256(BODY).hexdigest()


def get(url: str, target: Path, **known: Any) -> str:
    with new_client(PATIENCE) as client:
        return download(RemoteFile(url, target.name, **known), target, client, PATIENCE)


def test_a_file_comes_whole_and_leaves_nothing_else(site: Any, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.bin"
    assert get(site.publish("file.bin", BODY), target, size=len(BODY), checksum=f"sha256:{SHA}") == SHA
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connections_are_mended(site: Any, tmp_path: Path, ranges: bool) -> None:
    url = site.publish("f", BODY, ranges=ranges, cuts=[60_000, 10_000])
    assert get(url, tmp_path / "f") == SHA
    assert (tmp_path / "f").read_bytes() == BODY
    begun = [asked for _, asked in site.asked]
    assert begun[0] == "" and all(begun[1:])
    assert ("bytes=70000-" in begun) == ranges  # a server without ranges begins anew each time


def test_a_server_that_never_comes_further_is_given_up(site: Any, tmp_path: Path) -> None:
    url = site.publish("f", BODY, ranges=False, cuts=[50_000, 60_000] * 10)
    with pytest.raises(DataError, match="4 times"):
        get(url, tmp_path / "f")
    assert len(site.asked) == 5  # 60,000 was further than 50,000; nothing after it was


def test_a_later_run_goes_on_with_what_came(site: Any, tmp_path: Path) -> None:
    url = site.publish("f", BODY, cuts=[30_000, 0, 0, 0])
    with pytest.raises(DataError, match="4 times; what came is kept, the same command goes on with it"):
        get(url, tmp_path / "f")
    assert not (tmp_path / "f").exists() and (tmp_path / "f.part").stat().st_size == 30_000
    site.asked.clear()
    assert get(url, tmp_path / "f") == SHA
    assert site.asked == [("f", "bytes=30000-")]


def test_another_version_is_not_appended(site: Any, tmp_path: Path) -> None:
    url = site.publish("f", BODY[::-1], cuts=[30_000, 0, 0, 0], etag='"old"')
    with pytest.raises(DataError):
        get(url, tmp_path / "f")
    site.publish("f", BODY, etag='"new"')
    assert get(url, tmp_path / "f") == SHA


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_name_for_the_version_nothing_is_appended(site: Any, tmp_path: Path, etag: str) -> None:
    url = site.publish("f", BODY, etag=etag, cuts=[50_000])
    assert get(url, tmp_path / "f") == SHA
    assert [asked for _, asked in site.asked] == ["", ""]


def test_more_on_disk_than_the_server_has(site: Any, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    (tmp_path / "f.part.tag").write_text('"one"')
    assert get(site.publish("f", BODY), tmp_path / "f") == SHA


def test_a_whole_part_is_only_checked(site: Any, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(BODY)
    assert get(site.publish("f", BODY), tmp_path / "f", size=len(BODY), checksum=f"sha256:{SHA}") == SHA
    assert site.asked == []


@pytest.mark.parametrize("checksum", ["sha256:" + "0" * 64, "md5:" + "0" * 32])
def test_a_wrong_checksum_removes_what_came(site: Any, tmp_path: Path, checksum: str) -> None:
    with pytest.raises(DataError, match=rf"the {checksum[:3]}\w* of what came is .* it should be 000"):
        get(site.publish("f", BODY), tmp_path / "f", checksum=checksum)
    assert list(tmp_path.iterdir()) == []


def test_md5_and_servers_that_tell_no_length(site: Any, tmp_path: Path) -> None:
    digest = hashlib.md5(BODY).hexdigest()
    assert get(site.publish("f", BODY, chunked=True), tmp_path / "f", checksum=f"md5:{digest}") == SHA


def test_passing_errors_are_waited_for(site: Any, tmp_path: Path) -> None:
    assert get(site.publish("f", BODY, statuses=[503, 429, 500]), tmp_path / "f") == SHA


@pytest.mark.parametrize(
    ("status", "words"), [(404, "not there any more"), (403, "not open to us"), (401, "asks for an account")]
)
def test_refusals_are_final(site: Any, tmp_path: Path, status: int, words: str) -> None:
    url = site.publish("f", BODY, statuses=[status])
    with pytest.raises(DataError, match=f"HTTP {status}: .*{words}"):
        get(url, tmp_path / "f")
    assert len(site.asked) == 1


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/f: ConnectError.*4 times"):
        get("http://127.0.0.1:9/f", tmp_path / "f")


def test_a_full_disk_is_told_before(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 99_999}))
    with pytest.raises(DataError, match=r"0\.0 GB left, f needs 0\.0 GB more"):
        get(site.publish("f", BODY), tmp_path / "f")


def test_a_disk_that_fills_up(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"f\.part cannot be written: No space left"):
        get(site.publish("f", BODY), tmp_path / "f")


@given(cuts=st.lists(st.integers(1, 4000), max_size=6), ranges=st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_cut_the_bytes_are_right(
    site: Any, tmp_path: Path, cuts: list[int], ranges: bool
) -> None:
    (tmp_path / "f").unlink(missing_ok=True)
    url = site.publish("f", BODY[:5000], ranges=ranges, cuts=list(cuts))
    try:
        get(url, tmp_path / "f")
    except DataError:  # too many in a row that brought nothing: the next run does it
        site.pages["f"].cuts.clear()
        get(url, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY[:5000]


def test_the_client_asks_for_stored_bytes() -> None:
    with new_client(PATIENCE) as client:
        assert client.headers["accept-encoding"] == "identity" and isinstance(client, httpx.Client)


def test_nothing_comes_over_http_from_elsewhere() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://there.example/f"})

    with new_client(PATIENCE) as client:
        hooks = client.event_hooks
    with httpx.Client(
        transport=httpx.MockTransport(answer), follow_redirects=True, event_hooks=hooks
    ) as mocked:
        for url in ("https://here.example/f", "http://here.example/f"):
            with pytest.raises(DataError, match=r"http://\w+\.example/f is not https"):
                mocked.get(url)


def test_a_signature_is_not_told(site: Any, tmp_path: Path) -> None:
    url = site.publish("f?signature=secret", BODY, cuts=[10] * 9, etag="")
    with pytest.raises(DataError) as told:
        get(url, tmp_path / "f")
    assert "secret" not in str(told.value)
    assert "kept" not in str(told.value)  # without a name of the version it begins anew
