"""`mmfm bench loader`: the stream beside the decode limit and a usual pipeline, on the same shards.

Measured is CPU time over all threads of the process, which other users of the machine disturb least, in
rounds in which the contestants take turns.

- The limit decodes the same encoded images, held in memory, to the same size by the same function on one
  thread, into one buffer: no reading, order, notes or batches. Nothing that decodes by it can be faster.
- The stream is the one that trains, with its threads, checksums, stored token ids and batches; once without
  augmentation, so that its images are those of the limit, and once with the default one on the CPU.
- The usual pipeline is webdataset as its documentation shows it: shuffle buffer, PIL decoding and bilinear
  resizing, notes tokenized on the fly, batches.

Corrupt samples are passed over by all of them.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image

from mmfm.config.schema import AugmentConfig, DataConfig
from mmfm.data.augment import no_augmentation
from mmfm.data.batching import Batching
from mmfm.data.decode import decode_into
from mmfm.data.index import CorruptSample, Split
from mmfm.data.reader import decode_sample
from mmfm.data.stream import TrainStream, open_stream
from mmfm.data.tokenizer import Tokenizer, fit_tokenizer
from mmfm.errors import DataError
from mmfm.progress import track

LIMIT = "decode limit"
STREAM = "stream, no augmentation"
STREAM_AUGMENTED = "stream, augmented on the CPU"
WEBDATASET = "webdataset pipeline"

_FIT_NOTES = 1000  # notes that the benchmark's tokenizer is fitted on
_SETTLED = 0.002  # CPU seconds in a twentieth of a second below which the threads are taken to be idle
_MAX_TOKENS = 96

Contestant = Callable[[int], None]  # handles this many batches


@dataclass
class Measurement:
    """Samples per CPU-second of one contestant in each round, and its share of the limit in that round."""

    name: str
    rates: list[float]
    shares: list[float]


@dataclass
class BenchmarkResult:
    """What was measured, and on what. `str` gives the table."""

    shards: str
    samples: int  # in each round, for each contestant
    image_size: int
    batch: int
    workers: int
    measurements: list[Measurement]
    corrupt: Counter[str]  # samples that the limit passed over, by kind

    def share(self, name: str) -> float:
        """Median share of the limit of the contestant of this name."""
        return statistics.median(next(m.shares for m in self.measurements if m.name == name))

    def __str__(self) -> str:
        rounds = len(self.measurements[0].rates)
        lines = [
            f"{self.shards}: {self.image_size} px, batch {self.batch}, {self.workers} threads, "
            f"{rounds} rounds of {self.samples} samples",
            f"{'':30} {'samples / CPU-s':>16} {'(range)':>15} {'of the limit':>13}",
        ]
        for one in self.measurements:
            spread = f"{min(one.rates):.0f}-{max(one.rates):.0f}"
            share = f"{statistics.median(one.shares):.2f}"
            lines.append(f"{one.name:30} {statistics.median(one.rates):>16.0f} {spread:>15} {share:>13}")
        if self.corrupt:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.corrupt.items())
            lines.append(f"corrupt samples were passed over: {kinds}. Run `mmfm data verify {self.shards}`")
        return "\n".join(lines)


def loader_benchmark(
    shards: str | Path,
    split: str = "train",
    image_size: int = 224,
    batch: int = 32,
    workers: int = 2,
    rounds: int = 5,
    samples: int = 1024,
) -> BenchmarkResult:
    """Measure the contestants of this module in `rounds` of about `samples` samples each.

    Nothing is left beside the shards. Raises `DataError` for shards that cannot be read or have no notes.
    """
    source = Split.open(shards, split)
    if not source.manifest.notes:
        raise DataError(f"{shards} has no notes to measure with: set `notes` of `mmfm data shard`")
    steps = max(1, samples // batch)
    corrupt: Counter[str] = Counter()
    with ExitStack() as stack:
        links = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmfm-bench-")))
        for entry in ("dataset.json", split):  # so that caches go elsewhere than beside the user's shards
            (links / entry).symlink_to((Path(shards) / entry).resolve())
        tokenizer = _tokenizer(source)
        contestants: dict[str, Contestant] = {LIMIT: _limit(source, image_size, batch, steps, corrupt)}
        for name, augment in ((STREAM, no_augmentation()), (STREAM_AUGMENTED, AugmentConfig())):
            config = _config(links, split, source, image_size, workers, augment)
            stream = stack.enter_context(open_stream(config, tokenizer, Batching(batch), seed=0))
            contestants[name] = _consume(stream)
        contestants[WEBDATASET] = _webdataset(source, tokenizer, image_size, batch)
        rates = _measure(contestants, steps, batch, rounds)
    shares = {n: [a / b for a, b in zip(r, rates[LIMIT], strict=True)] for n, r in rates.items()}
    measurements = [Measurement(name, rates[name], shares[name]) for name in contestants]
    return BenchmarkResult(str(shards), steps * batch, image_size, batch, workers, measurements, corrupt)


def _measure(
    contestants: dict[str, Contestant], steps: int, batch: int, rounds: int
) -> dict[str, list[float]]:
    for contestant in contestants.values():
        contestant(1)  # first calls fill caches, buffers and read-ahead
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    turns = list(itertools.product(range(rounds), contestants))
    for _, name in track(turns, "measuring the loaders"):
        _settle()
        begun = time.process_time()
        contestants[name](steps)
        _settle()  # read-ahead ends as full as it began: exactly these steps are paid for
        rates[name].append(steps * batch / (time.process_time() - begun))
    return rates


def _settle() -> None:
    """Wait until no thread of this process works any more."""
    while True:
        before = time.process_time()
        time.sleep(0.05)
        if time.process_time() - before < _SETTLED:
            return


def _limit(split: Split, image_size: int, batch: int, steps: int, corrupt: Counter[str]) -> Contestant:
    chosen = np.random.default_rng(0).permutation(len(split))[: steps * batch]
    out = np.empty((image_size, image_size, 3), np.uint8)
    sound = []
    for sample in chosen:
        try:
            decode_sample(split, sample, out)
            sound.append(split.read_image(sample))
        except CorruptSample as error:
            corrupt[error.kind] += 1
    if not sound:
        raise DataError(f"no image of {split.folder} can be decoded: run `mmfm data verify {split.folder}`")
    images = itertools.cycle(sound)

    def run(count: int) -> None:
        for image in itertools.islice(images, count * batch):
            decode_into(image, out)

    return run


def _consume(stream: TrainStream) -> Contestant:
    batches = stream.batches()

    def run(count: int) -> None:
        for _ in range(count):
            next(batches)

    return run


def _webdataset(split: Split, tokenizer: Tokenizer, image_size: int, batch: int) -> Contestant:
    def prepare(sample: tuple[Image.Image, dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor, int]:
        image, record = sample
        pixels = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR))
        text = next(iter(record["notes"].values()))["text"]
        ids = torch.zeros(_MAX_TOKENS, dtype=torch.int64)
        encoded = tokenizer.encode([text], _MAX_TOKENS)[0]
        ids[: len(encoded)] = torch.tensor(encoded)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1), ids, record["label"]

    def batches() -> Iterator[Any]:
        shards, skip = [str(path) for path in split.shard_paths], wds.ignore_and_continue
        dataset = wds.WebDataset(shards, shardshuffle=100, seed=0, handler=skip).shuffle(1000)
        samples = dataset.decode("pil", handler=skip).to_tuple("jpg", "json", handler=skip)
        return iter(samples.map(prepare, handler=skip).repeat().batched(batch))

    endless = batches()

    def run(count: int) -> None:
        for _ in range(count):
            next(endless)

    return run


def _tokenizer(split: Split) -> Tokenizer:
    texts = []
    for sample in range(min(_FIT_NOTES, len(split))):
        try:
            texts += [note.text for note in split.read_record(sample).notes.values()]
        except CorruptSample:
            continue  # the stream says what is wrong with it
    return fit_tokenizer(texts, 2000)


def _config(
    folder: Path, name: str, split: Split, image_size: int, workers: int, augment: AugmentConfig
) -> DataConfig:
    return DataConfig(
        shards=str(folder),
        split=name,
        image_size=image_size,
        notes=dict.fromkeys(split.manifest.notes, 1.0),
        max_tokens=_MAX_TOKENS,
        workers=workers,
        augment=augment,
        augment_on="cpu",
        max_corrupt_share=1.0,  # counted here, not refused
    )
