"""The site as a program sees it: views, samples, images, and what must never come out of it."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tiny_shards import jpeg, write_tiny

from data_tools.browse import browse, make_server
from data_tools.browse.pages import Pages
from data_tools.browse.pictures import SIDE, Pictures
from data_tools.browse.select import Selector
from data_tools.browse.server import Server, Site
from data_tools.browse.table import Rows, Table
from data_tools.shards.reading import OneShard
from mmfm.data.index import Split
from mmfm.errors import ConfigError, DataError
from mmfm.records import Note, Record

# A shell that starts the tests in the background has them ignore SIGINT, and their children too.
COMMAND = (
    "import signal, sys; from launch.cli import main; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
)


def get(address: str) -> bytes:
    with urlopen(address, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def page(address: str) -> str:
    return get(address).decode()


def ask(site: str, words: str = "") -> Any:
    return json.loads(get(f"{site}/api/samples?{words}"))


def keys(site: str, words: str) -> list[str]:
    return [sample["key"] for sample in ask(site, words)["samples"]]


def status(address: str) -> int:
    with pytest.raises(HTTPError) as error:
        get(address)
    return error.value.code


def raw(site: str, path: str, host: str = "") -> http.client.HTTPResponse:
    """A request as no browser would send it."""
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=30)
    connection.putrequest("GET", path, skip_host=bool(host))
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    return connection.getresponse()


def test_all_samples_are_there_page_by_page(site: str, shards: Path) -> None:
    first, second = ask(site), ask(site, "page=2")
    assert (first["total"], first["pages"], len(first["samples"]), len(second["samples"])) == (75, 2, 60, 15)
    shown = [sample["key"] for answer in (first, second) for sample in answer["samples"]]
    expected = [str(key) for split in ("train", "test") for key in Split.open(shards, split).keys]
    assert shown == expected
    assert ask(site, "page=99")["page"] == 2  # the last one


@pytest.mark.parametrize(
    ("words", "total"),
    [
        ("split=test", 5),
        ("dataset=set&split=test", 4),
        ("domain=clinical", 4),
        ("label=MEL", 12),
        ("label=MEL&split=train", 8),
        ("label=unknown", 1),
        ("subclass=blue+nevus", 9),
        ("sex=male", 23),
        ("note=L1", 1),
        ("note=!L2-medgemma", 1),
        ("finding=age", 1),
        ("finding=any", 1),
        ("finding=any&label=NEV", 0),
        ("text=NETWORK", 70),
        ("text=number+12+with", 1),
        ("text=surely+a+derma", 1),  # of a refused note
        ("label=nowhere", 0),
        ("text=n.mber", 0),
    ],
)
def test_filters(site: str, words: str, total: int) -> None:
    assert ask(site, words)["total"] == total


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("key", lambda sample: sample["key"]),
        ("age", lambda sample: (sample["age"] is None, sample["age"])),
        ("-age", lambda sample: (sample["age"] is None, -(sample["age"] or 0))),
        (
            "class",
            lambda sample: ["BEK", "DF", "NEV", "VASC", "ACK", "BCC", "MEL", "SCC"].index(sample["label"]),
        ),
        ("findings", lambda sample: -len(sample["findings"])),
    ],
)
def test_orders(site: str, sort: str, order: Callable[[Any], Any]) -> None:
    samples = ask(site, f"dataset=set&domain=drawn&sort={sort}")["samples"]
    assert len(samples) == 60
    places = [order(sample) for sample in samples]
    assert places == sorted(places)


def test_counts_by_class_follow_the_filter(site: str) -> None:
    assert ask(site, "split=test")["classes"] == {
        **dict.fromkeys(["BEK", "DF", "NEV", "VASC", "ACK", "BCC", "SCC"], 0),
        "MEL": 4,
        "": 1,
    }


def test_the_grid_shows_filters_with_counts_and_links_to_samples(site: str) -> None:
    text = page(f"{site}/?label=MEL")
    assert '<option value="MEL" selected>MEL melanoma (12)</option>' in text
    assert '<option value="NEV">NEV melanocytic nevus (9)</option>' in text  # as if no class were chosen
    assert '<option value="test">test (4)</option>' in text
    assert "<b>12</b> of 75 samples" in text
    links = re.findall(r'href="(/sample\?[^"]*)"', text)
    assert len(links) == 12
    assert "label=MEL" in links[0]


def test_a_sample_has_its_neighbours_in_the_view(site: str) -> None:
    there = keys(site, "label=MEL&sort=key")
    text = page(f"{site}/sample?key={there[1]}&label=MEL&sort=key")
    assert f'rel="prev" href="/sample?key={there[0]}&amp;label=MEL&amp;sort=key"' in text
    assert f'rel="next" href="/sample?key={there[2]}&amp;label=MEL&amp;sort=key"' in text
    assert "2 of 12" in text
    assert 'rel="prev"' not in page(f"{site}/sample?key={there[0]}&label=MEL&sort=key")
    assert "not among the samples of this view" in page(f"{site}/sample?key={there[0]}&label=NEV")
    assert 'rel="up" href="/?page=2"' in page(f"{site}/sample?key={keys(site, 'page=2')[3]}")


def test_a_sample_shows_notes_with_what_was_found(site: str) -> None:
    text = page(f"{site}/sample?key=set-006")
    assert re.search(r'<mark class="diagnosis"[^>]*>benign</mark>', text)
    assert re.search(r'<mark class="attributes"[^>]*>aged 30</mark>', text)
    assert "says aged 30" in text
    refused = text[text.index('data-note="L2-medgemma"') :]
    assert "refused: class, skin tone" in refused
    assert re.search(r'<mark class="diagnosis"[^>]*>dermatofibroma</mark>', refused)
    assert "recall 0.50" in text
    assert "✓ packed" in text


def test_refused_notes_are_marked_in_the_grid(site: str) -> None:
    (sample,) = ask(site, "finding=class")["samples"]
    assert (sample["notes"], sample["refused"]) == (["L1", "M"], ["L2-medgemma"])
    assert "L1, M · refused: L2-medgemma" in page(f"{site}/?finding=class")


def test_the_record_as_json(site: str, shards: Path) -> None:
    told = json.loads(get(f"{site}/api/sample?key=set-006"))
    split = Split.open(shards, "train")
    assert told["record"] == split.read_record(list(split.keys).index("set-006")).to_json()
    assert [line["note"] for line in told["refused"]] == ["L2-medgemma"]


def test_images_come_whole_and_small(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    large = jpeg(1, (900, 600))
    folder = write_tiny(tmp_path / "one", {"train": [Record("a", "1", "drawn")]}, images={"a-1": large})
    site = serve(folder)
    assert get(f"{site}/image?key=a-1") == large
    assert Image.open(io.BytesIO(get(f"{site}/thumb?key=a-1"))).size == (SIDE, round(SIDE / 1.5))


def test_small_copies_are_kept_within_bounds(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Pictures(Table(shards))
    size = len(pictures.small(0))
    monkeypatch.setattr("data_tools.browse.pictures.KEPT_BYTES", 4 * size)
    for sample in range(20):
        assert pictures.small(sample) == pictures.small(sample)
    assert 1 <= len(pictures._small) <= 6


def test_markup_in_the_data_stays_text(site: str) -> None:
    (key,) = keys(site, "dataset=other%26set")
    for address in (
        f"{site}/sample?key={quote(key)}",
        f"{site}/?dataset=other%26set",
        f"{site}/?text={quote('<script>alert(1)</script>')}",
        f"{site}/?label={quote(chr(34) + '><script>alert(1)</script>')}",
    ):
        text = page(address)
        assert "<b>x</b>" not in text
        assert re.findall(r"<script[^>]*>", text) == ['<script src="/browse.js" defer>']
    with pytest.raises(HTTPError) as error:
        get(f"{site}/sample?key={quote('<script>alert(1)</script>')}")
    assert b"<script>alert" not in error.value.read()


def test_a_page_may_run_and_load_nothing_of_others(site: str) -> None:
    with urlopen(f"{site}/", timeout=30) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize(
    "path",
    [
        "/../dataset.json",
        "/dataset.json",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/image?key=../../dataset.json",
        "/thumb?key=/etc/passwd",
        "/image",
        "/sample?key=nobody",
        "/api/nothing",
        "/api/sample?key=%00",
        "/templates/browse.js",
        "/[",
    ],
)
def test_nothing_but_the_shards_comes_out(site: str, path: str) -> None:
    answer = raw(site, path)
    assert answer.status == 404
    assert b"root:" not in answer.read()


def test_an_address_that_is_none_has_an_answer(site: str) -> None:
    assert raw(site, "http://[", urlsplit(site).netloc).status == 404


def test_a_foreign_name_is_refused(site: str) -> None:
    port = urlsplit(site).port
    for host in (f"localhost:{port}", "localhost", "127.0.0.1:9000", f"[::1]:{port}"):  # a tunnel's port too
        assert raw(site, "/", host).status == 200
    for host in (f"evil.example:{port}", f"localhost.evil.example:{port}", "localhost:1@evil.example", "["):
        assert raw(site, "/", host).status == 403


def test_beyond_loopback_numbers_and_known_names_are_answered_to(shards: Path) -> None:
    server = Server(Site(Table(shards, workers=1)), "0.0.0.0", 0, ["Proxy.example"])
    server.server_close()
    for host in ("192.0.2.7:80", "[2001:db8::1]:80", socket.gethostname(), "localhost:9", "proxy.example"):
        assert server.answers_to(host)
    for host in ("evil.example", "192.0.2.7.evil.example", "", "1"):
        assert not server.answers_to(host)


def test_an_allowed_name_is_answered_to_on_loopback(shards: Path) -> None:
    server = make_server(shards, workers=1, allowed=["proxy.example"])
    server.server_close()
    assert server.answers_to("proxy.example:443")
    assert not server.answers_to("192.0.2.7")


def test_many_readers_at_once(site: str) -> None:
    there = keys(site, "")
    addresses = [f"{site}/thumb?key={key}" for key in there] + [
        f"{site}/sample?key={key}" for key in there[:20]
    ]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(get, addresses))


def test_damaged_samples_are_left_out_or_said(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    records = [Record("a", str(number), "drawn") for number in range(3)]
    folder = write_tiny(tmp_path / "torn", {"train": records})
    split = Split.open(folder, "train")
    with split.shard_paths[0].open("r+b") as tar:
        for offset in (split.json_offset[0], split.image_offset[1]):
            tar.seek(int(offset))
            tar.write(b"?")
    site = serve(folder)
    assert keys(site, "") == [str(key) for key in split.keys[1:]]
    assert "1 cannot be read" in page(f"{site}/")
    assert status(f"{site}/thumb?key={split.keys[1]}") == 404
    assert get(f"{site}/thumb?key={split.keys[2]}")


@pytest.mark.parametrize("suffix", [".tar", ".idx.parquet"])
def test_a_shard_that_is_missing_costs_its_own_samples_alone(
    tmp_path: Path, serve: Callable[[Path], str], suffix: str
) -> None:
    records = [Record("a", str(number), "drawn") for number in range(6)]
    folder = write_tiny(tmp_path / "torn", {"train": records}, per_shard=2)
    split = Split.open(folder, "train")
    tar = split.shard_paths[1]
    tar.with_suffix(suffix).unlink()
    site = serve(folder)
    left = [*split.keys[:2], *split.keys[4:]]
    assert keys(site, "") == left
    assert "2 cannot be read, with 1 whole shards" in page(f"{site}/")
    for row, key in zip((0, 1, 4, 5), left, strict=True):
        if suffix == ".idx.parquet":  # else its tar is gone for `split` as well
            assert get(f"{site}/image?key={key}") == split.read_image(row)
        assert json.loads(get(f"{site}/api/sample?key={key}"))["record"]["image_id"] == key[2:]
    for path in split.shard_paths:
        path.unlink(missing_ok=True)
    with pytest.raises(DataError, match="none of the 6 samples can be read"):
        make_server(folder, workers=1)


def test_a_picture_too_large_to_decode_is_no_error_of_the_server(
    shards: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = serve(shards)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert status(f"{site}/thumb?key=set-000") == 404
    assert get(f"{site}/image?key=set-000")


def test_audits_of_another_shape_do_no_harm(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    audit: dict[str, Any] = {
        "findings": [{"kind": "age"}, {"what": 1}, {"kind": "novel", "start": 0, "end": 999}]
    }
    record = Record(
        "a", "1", "drawn", notes={"M": Note("M", "Text.", audit={**audit, "scores": {"recall": "?"}})}
    )
    site = serve(write_tiny(tmp_path / "odd", {"train": [record]}))
    text = page(f"{site}/sample?key=a-1")
    assert "novel" in text
    assert "<mark" not in text
    assert ask(site, "finding=novel")["total"] == 1


def test_notes_are_let_go_of_shard_by_shard(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def each(work: Callable[[OneShard], Rows], jobs: list[OneShard], *_: Any) -> Iterator[Rows]:
        for job in jobs:
            rows = work(job)
            assert rows.text != []
            yield rows
            assert rows.text == []  # before the next is read: all together would not fit

    monkeypatch.setattr("data_tools.browse.table.each", each)
    table = Table(shards)
    assert np.count_nonzero(table.texts.mask("surely a derma")) == 1  # a refused note


def test_folders_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder of shards"):
        make_server(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no samples"):
        make_server(write_tiny(tmp_path / "empty", {}))


def test_a_port_that_is_taken_is_named(shards: Path, site: str) -> None:
    port = urlsplit(site).port
    assert port
    with pytest.raises(ConfigError, match=rf"cannot listen at 127\.0\.0\.1:{port} \(.*choose another --port"):
        make_server(shards, port=port)


def test_every_choice_of_a_filter_leads_to_as_many_samples_as_it_says(shards: Path) -> None:
    from data_tools.browse.query import Query

    table = Table(shards)
    selector = Selector(table)
    pages = Pages(table, selector)
    for view in (Query(), Query(split="test"), Query(text="network", sex="male")):
        for name in ("split", "dataset", "label", "subclass", "sex", "note", "finding"):
            for choice in pages.choices(view, name):
                assert selector.total(view.but(**{name: choice.value})) == choice.samples


def test_the_page_is_served_while_a_browser_holds_on(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server(shards, workers=1)
    monkeypatch.setattr("data_tools.browse.server.make_server", lambda *_, **__: server)
    shown = []

    def read_in_the_terminal(url: str) -> None:
        shown.append(get(url))
        server.shutdown()

    monkeypatch.setattr("webbrowser.open", read_in_the_terminal)
    browse(shards, "127.0.0.1", 0, open_browser=True)
    assert shown


def test_ctrl_c_ends_it_cleanly(shards: Path) -> None:
    command = [sys.executable, "-c", COMMAND, "data", "browse", str(shards)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert get(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in process.communicate()[1]
    finally:
        process.kill()
        process.communicate()


def test_what_is_found_in_a_control_is_no_badge(tmp_path: Path) -> None:
    found = {"R": "age", "M": "sex"}
    notes = {name: Note(name, "A man.", {}, {"findings": [{"kind": kind}]}) for name, kind in found.items()}
    table = Table(write_tiny(tmp_path / "shards", {"train": [Record("a", "1", "drawn", notes=notes)]}))
    card = Pages(table, Selector(table)).card(0)
    assert (card["findings"], card["notes"], table.findings.tolist()) == (["sex"], ["M", "R"], [1])
