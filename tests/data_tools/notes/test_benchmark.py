"""What `mmfm bench notes` does, not how fast: that is never tested."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fault_proxy import completion
from scripted_server import Reply, scripted_server

from data_tools.config import ServerConfig
from data_tools.notes.benchmark import SINGLE, NotesBenchmarkResult, Round, notes_benchmark
from launch.cli import main
from mmfm.errors import UserError


def test_contestants_take_turns_at_one_server() -> None:
    first_four = threading.Barrier(4, timeout=20)

    def script(_: dict[str, Any], number: int) -> Reply:
        if 3 <= number < 7:  # after the warm-up and the two requests one at a time
            first_four.wait()
        return Reply(body=completion("A note."))

    with scripted_server(script) as seen:
        result = notes_benchmark(ServerConfig(url=seen.url), "tiny", concurrency=4, rounds=2, requests=8)
    assert {name: [one.requests for one in done] for name, done in result.rounds.items()} == {
        SINGLE: [2, 2],
        "4 at once": [8, 8],
    }
    assert seen.most_at_once == 4
    texts = [body["messages"][-1]["content"] for body in seen.requests]
    assert len(set(texts)) > 0.8 * len(texts)  # made-up lesions of which nothing is known are alike


def test_the_ratio_is_that_of_requests_per_second() -> None:
    rounds = {
        SINGLE: [Round(10, 100, 10.0)] * 3,
        "8 at once": [Round(40, 400, seconds) for seconds in (10, 8, 5)],
    }
    result = NotesBenchmarkResult("here", 8, 64, False, rounds)
    assert result.ratio == 5
    assert str(result).splitlines()[-1].split() == ["8", "at", "once", "120", "5.0", "4.0-8.0", "50", "5.0"]


def test_a_server_without_answers_ends_it() -> None:
    script = lambda *_: Reply(400, {"error": {"message": "not like this"}})  # noqa: E731
    with scripted_server(script) as seen:
        with pytest.raises(UserError, match="not like this"):
            notes_benchmark(ServerConfig(url=seen.url), "tiny", concurrency=2, rounds=1, requests=4)


def test_a_server_needs_the_name_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "notes", "--server", "http://localhost:1/v1"]) == 2
    assert "--server and --model go together" in capsys.readouterr().err
