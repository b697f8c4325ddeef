"""`mmfm bench notes`: requests at once beside one request at a time, at the same server.

The contestants are the backend that writes notes, with its concurrency and with 1. They take turns in rounds,
so that what else the machine does disturbs both; the answers are measured as they come, with all that the
backend does for them. No prompt is asked twice: a server cannot answer from its memory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from data_tools.config import ServerConfig, WriterConfig
from data_tools.demo.draw import DERMOSCOPIC, draw_image
from data_tools.demo.language import make_tiny_model
from data_tools.demo.language_pairs import made_up_record, pairs
from data_tools.demo.language_training import train_tiny_model
from data_tools.demo.lesion import draw_lesion
from data_tools.demo.serve import BATCHING, serving
from data_tools.notes.backends import Answer, Request
from data_tools.notes.backends.server import ServerBackend
from data_tools.notes.registry import STRATEGIES
from data_tools.notes.strategy import Settings
from mmfm.errors import UserError
from mmfm.progress import track

SINGLE = "one at a time"
FEWER = 4  # one at a time, so many fewer requests are measured: they take longer
PICTURE_SIDE = 256  # pixels


@dataclass
class Round:
    """What one contestant did in one round."""

    requests: int
    tokens: int  # of the answers
    seconds: float


@dataclass
class NotesBenchmarkResult:
    """What was measured. `str` gives the table."""

    server: str
    concurrency: int
    max_tokens: int
    images: bool
    rounds: dict[str, list[Round]]  # by contestant
    failed: Counter[str] = field(default_factory=Counter)  # requests without an answer, by kind

    @property
    def ratio(self) -> float:
        """Requests per second at once, against one at a time: median over the rounds."""
        single, many = self.rounds.values()
        return statistics.median(
            (b.requests / b.seconds) / (a.requests / a.seconds) for a, b in zip(single, many, strict=True)
        )

    def __str__(self) -> str:
        shown = "with pictures" if self.images else "without pictures"
        lines = [
            f"{self.server}: {shown}, answers of at most {self.max_tokens} tokens, "
            f"{len(self.rounds[SINGLE])} rounds",
            f"{'':20} {'requests':>9} {'requests / s':>13} {'(range)':>15} {'tokens / s':>11} {'ratio':>7}",
        ]
        for name, done in self.rounds.items():
            rates = [one.requests / one.seconds for one in done]
            tokens = statistics.median(one.tokens / one.seconds for one in done)
            spread = f"{min(rates):.1f}-{max(rates):.1f}"
            ratio = 1.0 if name == SINGLE else self.ratio
            lines.append(
                f"{name:20} {sum(one.requests for one in done):>9} {statistics.median(rates):>13.1f} "
                f"{spread:>15} {tokens:>11.0f} {ratio:>7.1f}"
            )
        if self.failed:
            lines.append("without an answer: " + ", ".join(f"{n} {kind}" for kind, n in self.failed.items()))
        return "\n".join(lines)


def notes_benchmark(
    server: ServerConfig | None = None,
    model: str = "",
    concurrency: int = 16,
    rounds: int = 3,
    requests: int = 96,
    max_tokens: int = 64,
    images: bool = False,
) -> NotesBenchmarkResult:
    """Measure `rounds` of `requests` requests at once, and of a quarter as many one at a time.

    Without a `server`, `transformers serve` over a tiny model of random weights is started here, and ended.
    Raises `UserError` where a round brings no answer at all, and as `ServerBackend`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmfm-bench-")))
        if server is None:
            model = str(_own_model(folder / "model", images))
            # The server batches requests of text models alone.
            server = ServerConfig(url=stack.enter_context(serving(Path(model), () if images else BATCHING)))
            name = f"transformers serve, tiny model{'' if images else ', continuous batching'}"
        else:
            name = f"{server.url or 'OpenAI'}, {model}"
        writer = WriterConfig(model=model, temperature=0.0, max_tokens=max_tokens, server=server)
        contestants = {
            SINGLE: (1, max(1, requests // FEWER)),
            f"{concurrency} at once": (concurrency, requests),
        }
        result = NotesBenchmarkResult(name, concurrency, max_tokens, images, {one: [] for one in contestants})
        stream = _requests(folder if images else None)
        _measure(writer, 1, 1, stream, result.failed)  # the first request pays for what starts late
        for name, _ in track(
            [(one, r) for r in range(rounds) for one in contestants], "measuring the server"
        ):
            at_once, count = contestants[name]
            result.rounds[name].append(_measure(writer, at_once, count, stream, result.failed))
    return result


def _own_model(folder: Path, images: bool) -> Path:
    """A tiny model of random weights; one for text alone has a tokenizer for our prompts."""
    if images:
        return make_tiny_model(folder, vision=True)
    train_tiny_model(folder, pairs(), seconds=0)
    return folder


def _measure(
    writer: WriterConfig, concurrency: int, count: int, stream: Iterator[Request], failed: Counter[str]
) -> Round:
    backend = ServerBackend(replace(writer, server=replace(writer.server, concurrency=concurrency)))
    asked = [next(stream) for _ in range(count)]
    begun = time.monotonic()
    outcomes = list(backend.answer(asked))
    seconds = time.monotonic() - begun
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    bad = [outcome for outcome in outcomes if not isinstance(outcome, Answer)]
    failed.update(outcome.kind for outcome in bad)
    if not answers:
        raise UserError(f"the server gave no answer to {count} requests: {bad[0].kind} ({bad[0].detail})")
    return Round(len(answers), sum(answer.tokens_out for answer in answers), seconds)


def _requests(pictures: Path | None) -> Iterator[Request]:
    """Prompts about made-up lesions without end, each with a drawn picture where `pictures` is a folder."""
    rng = np.random.default_rng(0)
    strategy = STRATEGIES["L2" if pictures else "K"]
    for number in range(2**62):
        prompt = strategy.prompt(made_up_record(rng, number), Settings())
        image = None
        if pictures:
            image = pictures / f"{number}.jpg"
            drawn = draw_image(draw_lesion(number), DERMOSCOPIC, 0, PICTURE_SIDE)
            cv2.imwrite(str(image), drawn[..., ::-1])
        yield Request(f"{number:064x}", prompt, image, seed=number)
