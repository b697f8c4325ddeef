"""Models of transformers in a folder: text and image-text, in batches, in several processes; and mistakes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from data_tools.config import LocalModelConfig, PrepareConfig, WriterConfig
from data_tools.demo.language import make_tiny_model
from data_tools.notes.backends import Answer, Failure, Request, local
from data_tools.notes.backends.local import LocalBackend, _batches
from data_tools.notes.backends.localmodel import LocalModel
from data_tools.notes.strategy import Prompt
from mmfm.errors import DataError, UserError

REQUESTS = 6


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "text")


@pytest.fixture(scope="module")
def vision_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "vision", vision=True)


@pytest.fixture(scope="module")
def images(raw_folder: Path) -> list[Path]:
    return sorted((raw_folder / "images").iterdir())


def writer(folder: Path, temperature: float = 0.0, max_tokens: int = 12, **local: Any) -> WriterConfig:
    options = {"batch": 4, **local}
    return WriterConfig(
        backend="local",
        model=str(folder),
        temperature=temperature,
        max_tokens=max_tokens,
        local=LocalModelConfig(**options),
    )


def requests(images: list[Path] | None = None, count: int = REQUESTS) -> list[Request]:
    """Prompts of different lengths, with pictures if there are `images`."""
    prompts = [
        Prompt("L2", "1", "Be plain. " * n, f"Describe lesion {n}.", bool(images)) for n in range(count)
    ]
    shown = images or [None] * count
    return [
        Request(f"k{number}", prompt, image, seed=number)
        for number, (prompt, image) in enumerate(zip(prompts, shown, strict=False))
    ]


def ask(cfg: WriterConfig, asked: Iterable[Request]) -> dict[str, Answer | Failure]:
    outcomes = list(LocalBackend(cfg, PrepareConfig()).answer(iter(asked)))
    found = {outcome.key: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found


def texts(outcomes: dict[str, Answer | Failure]) -> dict[str, str]:
    return {key: outcome.text for key, outcome in outcomes.items() if isinstance(outcome, Answer)}


@pytest.mark.parametrize("vision", [False, True])
def test_greedy_answers_do_not_depend_on_the_batch(
    vision: bool, text_model: Path, vision_model: Path, images: list[Path]
) -> None:
    folder, asked = (vision_model, requests(images)) if vision else (text_model, requests())
    alone = ask(writer(folder, batch=1), asked)
    together = ask(writer(folder, batch=4), asked[::-1])
    assert texts(alone) == texts(together) and len(texts(alone)) == REQUESTS
    for outcome in together.values():
        assert isinstance(outcome, Answer)
        assert outcome.finish == "length" and outcome.tokens_out == 12 and outcome.model == folder.name
    lengths = [outcome.tokens_in for _, outcome in sorted(together.items()) if isinstance(outcome, Answer)]
    assert lengths == sorted(set(lengths))  # without the padding


def test_an_image_text_model_sees_the_picture_and_can_do_without(
    vision_model: Path, images: list[Path]
) -> None:
    prompt = Prompt("S2", "1", "", "Describe.", image=True)
    asked = [Request(str(n), prompt, image, 0) for n, image in enumerate(images[:8])]
    mixed = [*asked, Request("blind", Prompt("K", "1", "", "Describe.", image=False), None, 0)]
    answers = texts(ask(writer(vision_model), mixed))
    assert len(answers) == 9 and len(set(answers.values())) > 2


def test_sampling_repeats_itself_and_follows_the_seed(text_model: Path) -> None:
    cfg = writer(text_model, temperature=1.5)
    first = texts(ask(cfg, requests()))
    assert texts(ask(cfg, requests())) == first
    others = [Request(one.key, one.prompt, None, one.seed + 100) for one in requests()]
    assert texts(ask(cfg, others)) != first


def test_the_end_of_an_answer_is_told_from_a_cut(text_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(writer(text_model), PrepareConfig())
    generate, rows = model.model.generate, []

    def seen(**inputs: Any) -> Any:
        rows.append(generate(**inputs))
        return rows[-1]

    monkeypatch.setattr(model.model, "generate", seen)
    (cut,) = model.answer(requests(count=1))
    assert isinstance(cut, Answer) and cut.finish == "length"
    tokens = rows[0][0].tolist()[-12:]
    model.ends = frozenset({tokens[3]})
    (ended,) = model.answer(requests(count=1))
    assert isinstance(ended, Answer) and ended.finish == "stop"
    assert ended.tokens_out == tokens.index(tokens[3]) + 1 and cut.text.startswith(ended.text)
    model.ends = frozenset({tokens[0]})
    (empty,) = model.answer(requests(count=1))
    assert isinstance(empty, Failure) and empty.kind == "empty"


def test_what_one_request_cannot_have_does_not_cost_the_others(
    vision_model: Path, images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"no image")
    asked = requests([tmp_path / "torn.jpg", *images[:3]], count=4)
    asked[1] = Request("k1", Prompt("S2", "1", "", "Describe. " * 4000, True), images[0], 0)
    outcomes = ask(writer(vision_model), asked)
    assert {key: getattr(outcome, "kind", "") for key, outcome in outcomes.items()} == {
        "k0": "image",
        "k1": "too long",
        "k2": "",
        "k3": "",
    }


def test_a_full_memory_halves_the_batch(text_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(writer(text_model), PrepareConfig())
    generate, sizes = model.model.generate, []

    def small(room: int) -> None:
        def limited(**inputs: Any) -> Any:
            sizes.append(len(inputs["input_ids"]))
            if sizes[-1] > room:
                raise torch.OutOfMemoryError("full")
            return generate(**inputs)

        monkeypatch.setattr(model.model, "generate", limited)

    small(1)
    assert len(texts({one.key: one for one in model.answer(requests(count=4))})) == 4
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    small(0)
    with pytest.raises(UserError, match="one request fills the memory of cpu"):
        model.answer(requests(count=2))


def test_batches_are_dealt_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dealing alone, with threads in the place of processes."""
    sizes: list[int] = []
    taken = 0

    def asked() -> Iterator[Request]:
        nonlocal taken
        for request in requests(count=23):
            taken += 1
            yield request

    def answer(batch: list[Request], *_: object) -> list[Answer | Failure]:
        sizes.append(len(batch))
        return [Answer(request.key, "A note.", "stop", "m") for request in batch]

    monkeypatch.setattr(local, "check_folder", lambda folder: None)
    monkeypatch.setattr(local, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    monkeypatch.setattr(local, "_answer", answer)
    outcomes = LocalBackend(writer(Path("m"), batch=2, processes=3), PrepareConfig()).answer(asked())
    first = next(outcomes)
    assert taken <= 2 * 3 * (local.AHEAD + 1)
    keys = [first.key, *(outcome.key for outcome in outcomes)]
    assert sorted(keys) == sorted(f"k{number}" for number in range(23)) and sorted(sizes) == [1, *[2] * 11]


@pytest.mark.slow
def test_processes_share_the_requests(text_model: Path) -> None:
    asked = requests()
    assert texts(ask(writer(text_model, batch=2, processes=2), asked)) == texts(
        ask(writer(text_model), asked)
    )


def test_a_text_model_is_not_shown_pictures(text_model: Path, images: list[Path]) -> None:
    with pytest.raises(UserError, match="is a text model, but strategy L2 shows it pictures"):
        ask(writer(text_model), requests(images))


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", r"its settings \(config\.json\) are missing"),
        ("model.safetensors", "its weights"),
        ("tokenizer.json", "its tokenizer"),
        ("chat_template.jinja", "has no chat template"),
    ],
)
def test_what_a_folder_lacks_is_named(text_model: Path, tmp_path: Path, gone: str, message: str) -> None:
    folder = shutil.copytree(text_model, tmp_path / "model")
    (folder / gone).unlink()
    with pytest.raises(DataError, match=f"{folder}.*{message}"):
        ask(writer(folder), requests())


def test_damaged_settings_and_absent_gpus_are_said(text_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(text_model, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(DataError, match=f"{folder}: transformers cannot load this model"):
        ask(writer(folder), requests())
    with pytest.raises(DataError, match="is no folder"):
        LocalBackend(writer(tmp_path / "none"), PrepareConfig())
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch finds no GPU"):
            ask(writer(text_model, device="cuda"), requests())


def test_requests_are_taken_batch_by_batch_and_of_one_kind(images: list[Path]) -> None:
    taken = []

    def counted() -> Iterator[Request]:
        for one, other in zip(requests(images[:6]), requests(), strict=True):
            for request in (one, other):
                taken.append(request)
                yield request

    batches = _batches(counted(), 2)
    assert all(request.image for request in next(batches)) and len(taken) == 3
    rest = list(batches)
    assert sum(map(len, rest)) == 10
    assert all(len({request.image is None for request in batch}) == 1 for batch in rest)
