"""The key of a note in the store: a hash of all that decides what a language model writes.

The picture, the way it is shown, the prompt, the model and the decoding. A file that is moved keeps its
notes, one that is changed gets new ones; so do a changed prompt and a changed model.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_tools.config import PrepareConfig, WriterConfig
from data_tools.images import prepare as steps
from data_tools.images.prepare import steps_of
from data_tools.notes.backends import images
from data_tools.notes.lines import LineReader, LineWriter
from data_tools.notes.strategy import Prompt
from data_tools.workers import cores
from mmfm.errors import ConfigError, DataError
from mmfm.files import file_digest
from mmfm.progress import track

SETTLED = 2_000_000_000  # ns. A file that has just been changed may change again within one tick of its clock
READERS = 4  # threads for each core: on a network they wait more than they compute
SEED_BITS = 31  # what every backend takes
MODEL_SUFFIXES = (".json", ".safetensors", ".bin", ".model", ".txt", ".jinja", ".tiktoken")
USUAL = asdict(PrepareConfig())
USUAL_STEPS, USUAL_QUALITY = 1, 92  # what keys were first made with: never to be changed
NOT_SEEN = ("max_pixels",)  # settings of preparation that do not change a picture


def note_key(
    image: str, prompt: Prompt, model: str, writer: WriterConfig, prepare: PrepareConfig | None = None
) -> str:
    """The key of a note, 64 hexadecimal digits.

    `image` is the digest of the picture's file, `model` what `model_identity` says. The picture counts even
    where the prompt does not show it: two lesions that are alike on paper get a note each.
    """
    shown = _way_of_showing(writer, prepare or PrepareConfig()) if prompt.image else None
    parts = [image, shown, prompt.digest, writer.backend, model, decoding(writer), *_form(prompt, writer)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _form(prompt: Prompt, writer: WriterConfig) -> list[str]:
    """In which form an answer is computed: only what differs from the default, as in `_way_of_showing`."""
    if writer.backend == "local":
        return [writer.local.dtype] if writer.local.dtype != "auto" else []
    # Whether a server takes schemas is not known beforehand: "auto" and "on" are one.
    return ["free"] if prompt.schema is not None and writer.server.structured == "off" else []


def seed_of(key: str) -> int:
    """The seed of the sampling of one note, different for each key; the writer's seed is part of the key."""
    return int(key[:16], 16) % 2**SEED_BITS


def decoding(writer: WriterConfig) -> dict[str, Any]:
    """How a writer samples."""
    return {
        "temperature": writer.temperature,
        "top_p": writer.top_p,
        "max_tokens": writer.max_tokens,
        "seed": writer.seed,
    }


def _way_of_showing(writer: WriterConfig, prepare: PrepareConfig) -> dict[str, Any]:
    """What is done to the picture: only what differs from the default, so that new options keep old keys."""
    done: dict[str, Any] = {
        name: value
        for name, value in asdict(prepare).items()
        if name not in NOT_SEEN and value != USUAL[name]
    }
    if steps_of(prepare) and steps.VERSION != USUAL_STEPS:
        done["steps"] = steps.VERSION
    if images.JPEG_QUALITY != USUAL_QUALITY:
        done["jpeg_quality"] = images.JPEG_QUALITY
    if writer.backend == "server" and writer.server.image_detail != "auto":
        done["image_detail"] = writer.server.image_detail
    return {"image_side": writer.image_side, **done}


class FileDigests:
    """SHA-256 of files, kept in `folder` by path, size and time of change: each is read once.

    Beside them, whatever `remember` is given.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = LineWriter(folder)
        self._known: dict[tuple[str, int, int], str] = {}
        self._remembered: dict[str, str] = {}
        lines = [line for _, line in LineReader(folder).new()]
        for line in sorted(lines, key=lambda line: line.get("time", 0.0)):
            if "name" in line:
                self._remembered[line["name"]] = line["value"]
            else:
                self._known[line["path"], line["size"], line["mtime_ns"]] = line["sha256"]

    def of(self, paths: Iterable[Path], what: str = "reading images") -> list[str]:
        """The digest of each path. Raises `DataError` for a file that cannot be read."""
        stamps = [_stamp(path) for path in paths]
        unknown = list(dict.fromkeys(stamp for stamp in stamps if stamp not in self._known))
        if unknown:
            self._read(unknown, what)
        return [self._known[stamp] for stamp in stamps]

    def recall(self, name: str) -> str:
        """What was last remembered by that name; "" for nothing."""
        return self._remembered.get(name, "")

    def remember(self, name: str, value: str) -> None:
        """Keep `value` for `recall`."""
        if self.recall(name) != value:
            self._remembered[name] = value
            self._keep([{"name": name, "value": value, "time": time.time()}])

    def _read(self, stamps: Sequence[tuple[str, int, int]], what: str) -> None:
        now, lines = time.time_ns(), []
        with ThreadPoolExecutor(READERS * cores()) as pool:
            digests = pool.map(lambda stamp: _digest(stamp[0]), stamps)
            for stamp, digest in zip(stamps, track(digests, what, total=len(stamps)), strict=True):
                self._known[stamp] = digest
                if now - stamp[2] > SETTLED:
                    path, size, mtime = stamp
                    lines.append({"path": path, "size": size, "mtime_ns": mtime, "sha256": digest})
        self._keep(lines)

    def _keep(self, lines: Sequence[dict[str, Any]]) -> None:
        """Write down what is known now. A store that may only be read is read without."""
        with suppress(DataError):
            for line in lines:
                self._writer.append(line)
            self._writer.flush()


def model_identity(name: str, writer: WriterConfig, digests: FileDigests) -> str:
    """What tells a writer's model from others: the name at a server, the content of a local model's folder.

    `name` is that of the writer in the recipe. Of a folder that is gone, as on another machine, the store
    knows what it was. Raises `ConfigError` for a folder that nobody has seen.
    """
    if writer.backend == "server":
        return writer.model
    folder = Path(writer.model)
    if not folder.is_dir():
        if known := digests.recall(f"model {writer.model}"):
            return known
        raise ConfigError(
            f"writers.{name}.model={writer.model} is no folder: a local model is a folder with config.json, "
            "weights and tokenizer; none is downloaded"
        )
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in MODEL_SUFFIXES)
    content = zip((file.name for file in files), digests.of(files, "reading the model"), strict=True)
    identity = hashlib.sha256(json.dumps(list(content)).encode()).hexdigest()[:16]
    digests.remember(f"model {writer.model}", identity)
    return identity


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns


def _digest(path: str) -> str:
    try:
        return file_digest(Path(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
