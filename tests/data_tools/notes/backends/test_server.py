"""The server backend against a scripted server: what is asked, and what becomes of each kind of answer."""

from __future__ import annotations

import base64
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fault_proxy import completion
from scripted_server import Reply, Script, Seen, scripted_server

from data_tools.config import PrepareConfig, ServerConfig, WriterConfig
from data_tools.notes.backends import Answer, Failure, Request, server_errors, server_limits, server_session
from data_tools.notes.backends.server import WAITING, ServerBackend
from data_tools.notes.backends.server_limits import Spending
from data_tools.notes.strategy import Prompt
from mmfm.errors import ConfigError, UserError

SCHEMA = {"type": "object", "properties": {"border": {"type": "string"}}, "required": ["border"]}
GOOD = Reply(body=completion("A note."))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(server_limits, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(server_limits, "NO_START_SECONDS", 0.05)
    monkeypatch.setenv("NOTES_KEY", "secret")


def request(number: int = 0, image: Path | None = None, schema: dict[str, Any] | None = None) -> Request:
    prompt = Prompt("L1", "1", "You write notes.", f"Lesion {number}.", image is not None, schema)
    return Request(f"key{number}", prompt, image, seed=100 + number)


def writer(url: str, **server: Any) -> WriterConfig:
    settings: dict[str, Any] = {"concurrency": 4, "retries": 3, "timeout": 20.0, **server}
    return WriterConfig(model="tiny", max_tokens=50, server=ServerConfig(url=url, **settings))


def ask(script: Script, count: int = 1, **server: Any) -> tuple[list[Answer | Failure], Seen]:
    """Outcomes of `count` requests by key, and what the server saw."""
    with scripted_server(script) as seen:
        outcomes = list(ServerBackend(writer(seen.url, **server)).answer(map(request, range(count))))
    return sorted(outcomes, key=lambda outcome: int(outcome.key[3:])), seen


def ending(script: Script, count: int = 1, **server: Any) -> tuple[str, list[Answer | Failure]]:
    """The message of the `UserError` with which everything ends, and the outcomes before it."""
    outcomes: list[Answer | Failure] = []
    with scripted_server(script) as seen:
        with pytest.raises(UserError) as raised:
            for outcome in ServerBackend(writer(seen.url, **server)).answer(map(request, range(count))):
                outcomes.append(outcome)
    return str(raised.value), outcomes


def first_then_good(*first: Reply) -> Script:
    return lambda _, number: first[number] if number < len(first) else GOOD


def error(status: int, message: str = "it is so", code: str | None = None, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": message, "code": code}}, names)


def test_every_request_gets_its_answer() -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        return Reply(body=completion(f"Note on {body['messages'][-1]['content']}"))

    outcomes, seen = ask(script, 30)
    assert [outcome.key for outcome in outcomes] == [f"key{number}" for number in range(30)]
    assert all(
        isinstance(outcome, Answer) and outcome.text == f"Note on Lesion {number}."
        for number, outcome in enumerate(outcomes)
    )
    assert len(seen.requests) == 30


def test_a_request_carries_prompt_decoding_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_KEY", "secret")
    _, seen = ask(first_then_good(), key_variable="NOTES_KEY")
    assert seen.requests[0] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "You write notes."},
            {"role": "user", "content": "Lesion 0."},
        ],
        "temperature": 0.2,
        "max_tokens": 50,
        "seed": 100,
    }
    assert seen.headers[0]["authorization"] == "Bearer secret"


def test_a_picture_is_sent_as_jpeg_of_the_wanted_size(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    cv2.imwrite(str(path), np.full((100, 400, 3), 128, np.uint8))
    with scripted_server(first_then_good()) as seen:
        cfg = writer(seen.url, image_detail="low")
        cfg.image_side = 64
        list(ServerBackend(cfg).answer([request(image=path)]))
    picture, text = seen.requests[0]["messages"][-1]["content"]
    head, _, data = picture["image_url"]["url"].partition(",")
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert (head, pixels.shape) == ("data:image/jpeg;base64", (16, 64, 3))
    assert picture["image_url"]["detail"] == "low"
    assert text == {"type": "text", "text": "Lesion 0."}


def test_a_picture_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    with scripted_server(first_then_good()) as seen:
        requests = [request(0, image=tmp_path / "gone.jpg"), request(1)]
        outcomes = {outcome.key: outcome for outcome in ServerBackend(writer(seen.url)).answer(requests)}
    bad = outcomes["key0"]
    assert isinstance(bad, Failure) and bad.kind == "image" and "gone.jpg: file is missing" in bad.detail
    assert isinstance(outcomes["key1"], Answer)


def test_requests_are_taken_as_there_is_room_and_few_are_under_way() -> None:
    taken = 0
    reached = threading.Barrier(4, timeout=20)

    def requests() -> Iterator[Request]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield request(number)

    def script(_: dict[str, Any], number: int) -> Reply:
        if number < 4:
            reached.wait()  # the first four are with the server at once
        return GOOD

    with scripted_server(script) as seen:
        for done, _outcome in enumerate(ServerBackend(writer(seen.url)).answer(requests())):
            assert taken <= done + WAITING * 4
    assert taken == 40
    assert seen.most_at_once == 4


@pytest.mark.parametrize(
    "bad",
    [
        *(pytest.param(error(status), id=str(status)) for status in (408, 409, 500, 502, 503, 504)),
        pytest.param(Reply(body='{"choices": [{"mes'), id="half JSON"),
        pytest.param(Reply(body="<html>", headers={"Content-Type": "text/html"}), id="HTML"),
        pytest.param(Reply(body={"id": "1", "choices": []}), id="no choices"),
        pytest.param(Reply(body={"choices": [{"message": {"content": 7}}]}), id="no text"),
        pytest.param(Reply(body=[1, 2]), id="a list"),
        pytest.param(Reply(body={"choices": [{"message": {"content": [7]}}]}), id="parts without text"),
        pytest.param(Reply(body=completion("  ")), id="empty"),
    ],
)
def test_what_may_pass_is_tried_again(bad: Reply) -> None:
    outcomes, _ = ask(first_then_good(bad, bad))
    assert isinstance(outcomes[0], Answer) and (outcomes[0].text, outcomes[0].tries) == ("A note.", 3)


@pytest.mark.parametrize(
    ("bad", "kind", "tries"),
    [
        (error(500), "http 500", 4),
        (error(429, "Request too large for tiny"), "too long", 1),
        (Reply(body="half"), "garbage", 4),
        (Reply(body=completion("")), "empty", 3),
        (Reply(body=completion("", finish="length")), "empty", 1),
        (Reply(body=completion("I'm sorry, but I can't help with that.")), "refused", 1),
        (Reply(body=completion("The lesion", finish="content_filter")), "refused", 1),
        (error(400), "http 400", 1),
        (error(422), "http 422", 1),
        (error(400, "This model's maximum context length is 64 tokens"), "too long", 1),
        (error(400, "no", code="context_length_exceeded"), "too long", 1),
        (error(400, "the prompt triggered our content management policy"), "refused", 1),
    ],
)
def test_what_does_not_pass_is_given_up(bad: Reply, kind: str, tries: int) -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        return bad if body["messages"][-1]["content"] == "Lesion 0." else GOOD

    (failed, other), _ = ask(script, 2)
    assert isinstance(failed, Failure) and (failed.kind, failed.tries) == (kind, tries)
    assert isinstance(other, Answer)


def test_a_refusal_may_have_a_field_of_its_own() -> None:
    body: dict[str, Any] = completion("")
    body["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I will not."}
    outcomes, _ = ask(lambda *_: Reply(body=body))
    assert outcomes == [Failure("key0", "refused", "I will not.", 1, tokens_in=10, tokens_out=5)]


def test_too_many_requests_use_up_no_tries() -> None:
    """Each is rejected more often than it may be tried, and all are answered at the first try that counts."""
    turns: Counter[str] = Counter()

    def script(body: dict[str, Any], _: int) -> Reply:
        text = body["messages"][-1]["content"]
        turns[text] += 1
        return error(429) if turns[text] <= 3 else GOOD

    outcomes, seen = ask(script, 6, retries=1)
    assert [(type(outcome), outcome.tries) for outcome in outcomes] == [(Answer, 1)] * 6
    assert len(seen.requests) == 24


def test_too_many_requests_for_too_long_end_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_limits, "LIMITED_SECONDS", 0.2)
    message, outcomes = ending(lambda *_: error(429, "slow down"), count=50, retries=0)
    assert not outcomes
    assert "accepted nothing for" in message and "slow down" in message and "requests_per_minute" in message


def test_a_request_that_alone_is_rejected_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_session, "LIMITED_SECONDS", 0.2)

    def script(body: dict[str, Any], _: int) -> Reply:
        return error(429) if body["messages"][-1]["content"] == "Lesion 0." else GOOD

    (failed, *others), _ = ask(script, 5, retries=0)
    assert isinstance(failed, Failure) and failed.kind == "http 429"
    assert all(isinstance(other, Answer) for other in others)


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_end_is_not_read_to_its_end(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_errors, "MOST_BYTES", 2**20)
    long = Reply(status, body=completion("word " * 2**18))
    assert ask(lambda *_: long, retries=1)[0] == [
        Failure("key0", "garbage", "an answer of more than 1 MB", 2)
    ]
    short = Reply(body=completion("word " * 2**17))
    assert isinstance(ask(lambda *_: short)[0][0], Answer)


def test_a_silent_server_counts_as_timeout() -> None:
    release = threading.Event()

    def script(*_: Any) -> Reply:
        release.wait(20)
        return GOOD

    with scripted_server(script) as seen:
        outcomes = list(ServerBackend(writer(seen.url, timeout=0.1, retries=1)).answer([request()]))
        release.set()
    assert outcomes == [Failure("key0", "timeout", "no answer in 0.1 s", 2)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (error(401, "bad key"), "NOTES_KEY"),
        (error(403), "NOTES_KEY"),
        (error(404), "server.url"),
        (error(404, "The model `tiny` does not exist", code="model_not_found"), "model 'tiny'"),
        (error(400, "Server is pinned to 'other'; requested 'tiny', model"), "model 'tiny'"),
        (error(429, "You exceeded your current quota", code="insufficient_quota"), "no credit"),
        (error(429, Retry_After="3600"), "60 minutes"),
    ],
)
def test_what_no_request_can_pass_ends_everything(bad: Reply, words: str) -> None:
    message, outcomes = ending(lambda *_: bad, count=500, key_variable="NOTES_KEY")
    assert words in message
    assert not outcomes


def test_what_is_under_way_at_the_end_is_yielded() -> None:
    both, refused = threading.Barrier(2, timeout=20), threading.Event()

    def script(body: dict[str, Any], _: int) -> Reply:
        both.wait()
        if body["messages"][-1]["content"] == "Lesion 0.":
            refused.set()
            return error(401)
        refused.wait(20)
        return GOOD

    _, outcomes = ending(script, count=50, concurrency=2)
    assert [outcome.key for outcome in outcomes] in ([], ["key1"])  # cut only if it was never with the server
    assert outcomes


def test_a_request_that_comes_with_the_end_is_dropped_not_lost() -> None:
    cfg = writer("http://127.0.0.1:1/v1")
    session = server_session.Session(cfg, PrepareConfig(), "key", Spending(0, 0, 0), Counter())
    try:
        session._loop.call_soon_threadsafe(lambda: (session._begin(request()), session._end("it is over")))
        assert session.outcomes.get(timeout=20) is None
        session.submit(request())
        assert session.outcomes.get(timeout=20) is None
    finally:
        session.close()


def test_the_first_requests_all_malformed_end_everything() -> None:
    message, outcomes = ending(lambda *_: error(400, "temperature must be 1"), count=500)
    assert "temperature must be 1" in message
    assert len(outcomes) <= server_limits.FIRST_REJECTED + WAITING * 4


def test_nobody_listening_ends_everything() -> None:
    with scripted_server(first_then_good()) as seen:
        pass
    with pytest.raises(UserError, match=r"nobody answers at .*server\.url"):
        list(ServerBackend(writer(seen.url, retries=50)).answer(map(request, range(500))))


def test_a_schema_is_asked_for_until_the_server_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        return error(400, "Unknown field response_format") if "response_format" in body else GOOD

    with scripted_server(script) as seen:
        requests = [request(number, schema=SCHEMA) for number in range(40)]
        outcomes = list(ServerBackend(writer(seen.url)).answer(requests))
    assert all(isinstance(outcome, Answer) and outcome.tries == 1 for outcome in outcomes)
    asked = [body["response_format"] for body in seen.requests if "response_format" in body]
    assert asked[0]["json_schema"]["schema"] == SCHEMA
    assert len(asked) <= 4  # those under way at the first refusal
    assert capsys.readouterr().err.count("refuses JSON schemas") == 1


@pytest.mark.parametrize(("structured", "sent"), [("on", True), ("off", False)])
def test_a_schema_may_be_insisted_on_or_left_out(structured: str, sent: bool) -> None:
    with scripted_server(lambda *_: error(400, "no response_format here")) as seen:
        outcomes = list(
            ServerBackend(writer(seen.url, structured=structured)).answer([request(schema=SCHEMA)])
        )
    assert ("response_format" in seen.requests[0]) is sent
    assert isinstance(outcomes[0], Failure) and outcomes[0].kind == "http 400"


def test_other_words_are_used_where_a_server_wants_them() -> None:
    def script(body: dict[str, Any], _: int) -> Reply:
        if "max_tokens" in body:
            return error(400, "'max_tokens' is not supported. Use 'max_completion_tokens' instead.")
        return error(422, "extra field: seed") if "seed" in body else GOOD

    outcomes, seen = ask(script, 8)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert seen.requests[-1]["max_completion_tokens"] == 50


def test_answers_say_how_they_ended_and_what_they_cost() -> None:
    body = completion("A note that is cut", finish="length")
    (answer,), _ = ask(
        first_then_good(Reply(body=completion("")), Reply(body=body)), price_in=2, price_out=10
    )
    assert isinstance(answer, Answer)
    assert (answer.finish, answer.model, answer.tries) == ("length", "scripted", 2)
    assert (answer.tokens_in, answer.tokens_out) == (20, 10)  # the empty one was paid for as well
    assert answer.cost == pytest.approx(2 * (10 * 2 + 5 * 10) / 1e6)


def test_what_is_refused_has_its_cost() -> None:
    refused = Reply(body=completion("I'm sorry, but I can't help with that."))
    (failed,), _ = ask(first_then_good(Reply(body=completion("")), refused), price_in=2, price_out=10)
    assert isinstance(failed, Failure) and (failed.tokens_in, failed.tokens_out) == (20, 10)
    assert failed.cost == pytest.approx(2 * (10 * 2 + 5 * 10) / 1e6)
    (failed,), _ = ask(first_then_good(*[Reply(body=completion(""))] * 2, error(400)), price_in=2)
    assert isinstance(failed, Failure) and failed.tokens_in == 20 and failed.cost == pytest.approx(40 / 1e6)


def test_an_answer_may_come_in_parts() -> None:
    body: dict[str, Any] = completion("")
    thoughts = {"type": "thinking", "thinking": "Well."}
    body["choices"][0]["message"]["content"] = [
        thoughts,
        {"type": "text", "text": "A "},
        {"type": "text", "text": "note."},
    ]
    outcomes, _ = ask(lambda *_: Reply(body=body))
    assert isinstance(outcomes[0], Answer) and outcomes[0].text == "A note."


def test_an_error_told_as_success_is_repeated() -> None:
    outcomes, _ = ask(lambda *_: Reply(body={"error": {"message": "the provider\nis gone"}}), retries=0)
    assert outcomes == [Failure("key0", "garbage", "the answer has no message: the provider is gone", 1)]


def test_the_key_of_openai_goes_to_no_other_server_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    _, seen = ask(first_then_good())
    assert "sk-of-openai" not in str(seen.headers)
    message, _ = ending(lambda *_: error(401))
    assert "name the environment variable that holds a key in `server.key_variable`" in message
    _, seen = ask(first_then_good(), key_variable="OPENAI_API_KEY")
    assert seen.headers[0]["authorization"] == "Bearer sk-of-openai"


def test_a_key_is_told_to_nobody_but_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_KEY", "sk-very-secret\n")  # as from a file
    for status in (400, 500):
        reply = error(status, "Received API key: sk-very-secret")
        outcomes, seen = ask(lambda *_, reply=reply: reply, key_variable="NOTES_KEY", retries=0)
        assert seen.headers[0]["authorization"] == "Bearer sk-very-secret"
        assert isinstance(outcomes[0], Failure) and "API key: ***" in outcomes[0].detail
    message, _ = ending(lambda *_: error(401, "not sk-very-secret"), key_variable="NOTES_KEY")
    assert "HTTP 401: not ***" in message
    for bad in ("sk-very\nsecret", "sk-very\u2019secret"):
        monkeypatch.setenv("NOTES_KEY", bad)
        with pytest.raises(ConfigError, match=r"NOTES_KEY holds what cannot be a key$"):
            ServerBackend(writer("http://localhost:1/v1", key_variable="NOTES_KEY"))


def test_tokens_are_estimated_where_the_server_does_not_say(capsys: pytest.CaptureFixture[str]) -> None:
    body = completion("twelve chars")
    del body["usage"]
    outcomes, _ = ask(lambda *_: Reply(body=body), 3)
    assert all(isinstance(o, Answer) and (o.tokens_in, o.tokens_out) == (6, 3) for o in outcomes)
    assert capsys.readouterr().err.count("does not say how many tokens") == 1


def test_a_spent_budget_stops_with_what_was_under_way() -> None:
    cost = 10 * 1.0 / 1e6
    message, outcomes = ending(lambda *_: GOOD, count=500, price_in=1.0, budget=20.5 * cost)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    assert 21 <= len(outcomes) <= 21 + 4
    assert "budget" in message and "prompt and" in message


def test_settings_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="price_in"):
        ServerBackend(writer("http://localhost:1/v1", budget=5))
    with pytest.raises(ConfigError, match="model"):
        ServerBackend(WriterConfig())
    with pytest.raises(UserError, match="MY_KEY holds no key"):
        ServerBackend(writer("http://localhost:1/v1", key_variable="MY_KEY"))
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        ServerBackend(writer(""))
    with pytest.raises(ConfigError, match=r"server\.url=localhost:1/v1 must begin with http"):
        ServerBackend(writer("localhost:1/v1"))
    ServerBackend(writer("http://localhost:1/v1"))  # one's own server needs no key


def test_an_error_of_the_caller_goes_through_and_ends_the_thread() -> None:
    def requests() -> Iterator[Request]:
        yield request(0)
        raise OSError("the table is gone")

    with scripted_server(first_then_good()) as seen:
        with pytest.raises(OSError, match="the table is gone"):
            list(ServerBackend(writer(seen.url)).answer(requests()))
    assert not _threads()


def test_closing_the_iterator_ends_what_is_under_way() -> None:
    release = threading.Event()

    def script(_: dict[str, Any], number: int) -> Reply:
        if number:
            release.wait(20)
        return GOOD

    with scripted_server(script) as seen:
        outcomes = ServerBackend(writer(seen.url)).answer(map(request, itertools.count()))
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert not _threads()
        release.set()


def test_an_interrupt_leaves_at_once() -> None:
    release = threading.Event()

    def script(_: dict[str, Any], number: int) -> Reply:
        if number == 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        release.wait(20)
        return GOOD

    with scripted_server(script) as seen:
        with pytest.raises(KeyboardInterrupt):
            list(ServerBackend(writer(seen.url)).answer(map(request, itertools.count())))
        assert not _threads()
        release.set()


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "server requests"]
