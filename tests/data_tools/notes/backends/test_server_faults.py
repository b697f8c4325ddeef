"""The server backend against `transformers serve` over a tiny model, behind a proxy that spoils answers.

Whatever happens on the way, each request has exactly one outcome, and the store each note once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from fault_proxy import FAULTS, PASSED, FaultProxy, Tally

from data_tools.config import ServerConfig, WriterConfig
from data_tools.demo.language import make_tiny_model
from data_tools.demo.serve import BATCHING, serving
from data_tools.notes.backends import Answer, Failure, Request, server_limits, server_session
from data_tools.notes.backends.server import ServerBackend
from data_tools.notes.store import Entry, NoteStore
from data_tools.notes.strategy import Prompt

IMAGE_EVERY = 10  # one request in so many shows a picture


def key_of(number: int) -> str:
    return f"{number:064x}"


def text_of(number: int) -> str:
    return f"Describe lesion {number}."


def requests(count: int, image: Path | None) -> Iterator[Request]:
    for number in range(count):
        shown = image if image and number % IMAGE_EVERY == 0 else None
        prompt = Prompt("L2", "1", "You write notes on skin.", text_of(number), shown is not None)
        yield Request(key_of(number), prompt, shown, seed=number)


def run(count: int, cfg: WriterConfig, image: Path | None, store: NoteStore) -> Counter[str]:
    """Ask, and keep each outcome as it comes; how often each key came."""
    came: Counter[str] = Counter()
    for outcome in ServerBackend(cfg).answer(requests(count, image)):
        came[outcome.key] += 1
        store.append(_entry(outcome, cfg))
    store.close()
    return came


def _entry(outcome: Answer | Failure, cfg: WriterConfig) -> Entry:
    number = int(outcome.key, 16)
    done = {"failure": outcome.kind} if isinstance(outcome, Failure) else {"text": outcome.text}
    return Entry(outcome.key, f"lesion-{number}", "L2", "1", "", {}, "server", cfg.model, {}, **done)


def check(count: int, came: Counter[str], store: Path, tally: Tally) -> None:
    """Nothing lost, nothing doubled; what has no note was refused, and that alone."""
    asked = {key_of(number): text_of(number) for number in range(count)}
    assert came == dict.fromkeys(asked, 1)
    lines = list(NoteStore(store).all_lines())
    assert Counter(line.key for line in lines) == dict.fromkeys(asked, 1)
    assert all(line.text.strip() for line in lines if not line.failure)
    failed = {line.key: line.failure for line in lines if line.failure}
    assert failed == {key: "refused" for key, text in asked.items() if text in tally.refused}
    assert set(tally.delivered) == set(asked.values()) - tally.refused
    assert set(tally.given) == set(asked.values())
    assert set(tally.statuses) == {200}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "lesion.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8))
    return path


def test_notes_survive_faults(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(server_limits, "FIRST_PAUSE", 0.05)
    count, model = 60, tmp_path / "model"
    make_tiny_model(model, vision=True)
    shares = {fault: 2 * share for fault, share in FAULTS.items()}
    with serving(model) as url, FaultProxy(url, shares, seed=10) as proxy:
        server = ServerConfig(url=proxy.url, concurrency=12, timeout=5.0)
        cfg = WriterConfig(model=str(model), temperature=0, max_tokens=3, image_side=64, server=server)
        with NoteStore(tmp_path / "store") as store:
            came = run(count, cfg, image, store)
    check(count, came, tmp_path / "store", proxy.tally)
    assert set(proxy.tally.faults) == {PASSED, *FAULTS}  # none was left untried
    logging.getLogger(__name__).info("%s", proxy.tally.faults)


@pytest.mark.slow
def test_ten_thousand_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count, model = 10_000, tmp_path / "model"
    make_tiny_model(model)
    with serving(model, BATCHING) as url, FaultProxy(url) as proxy:
        server = ServerConfig(url=proxy.url, concurrency=48, timeout=10.0)
        cfg = WriterConfig(model=str(model), temperature=0, max_tokens=3, server=server)
        with NoteStore(tmp_path / "store") as store:
            came = run(count, cfg, None, store)
    check(count, came, tmp_path / "store", proxy.tally)
    assert set(proxy.tally.faults) == {PASSED, *FAULTS}
    tally = proxy.tally
    with capsys.disabled():
        print(
            f"\n{count} requests, {tally.faults.total()} attempts, {tally.upstream.total()} of which reached "
            f"the server; {len(came)} outcomes, {len(tally.refused)} of them refused\n"
            + ", ".join(f"{fault}: {number}" for fault, number in tally.faults.most_common())
        )
