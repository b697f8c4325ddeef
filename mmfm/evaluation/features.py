"""What a model makes of a split: one row per sample that could be read, each row carrying its own record.

Rows are never matched to metadata by position or by part of a name: features and record of a sample are
taken from the same read, so a skipped sample cannot shift the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mmfm.data.index import Split
from mmfm.data.padding import pad
from mmfm.data.reader import read_batches
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import DataError
from mmfm.models.build import LoadedModel
from mmfm.models.dual import DualEncoder
from mmfm.progress import track
from mmfm.records import Record

# images (b, 3, H, W) uint8 on the device and their records -> (b, d) features for each name
Compute = Callable[[torch.Tensor, list[Record]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Reading:
    """How a split is read: batch size, decoding threads and the side of the images in pixels."""

    image_size: int
    batch: int
    workers: int


@dataclass
class Features:
    """Rows of a split, in order.

    `values`: (n, d) float32 on the CPU by name. `samples`: (n,) numbers in `split`.
    `skipped` counts by kind the samples that could not be read.
    """

    split: Split
    samples: np.ndarray
    records: list[Record]
    values: dict[str, torch.Tensor]
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 positions in the taxonomy, -1 for unknown."""
        return np.array([record.label for record in self.records], dtype=np.int64)

    @property
    def groups(self) -> np.ndarray:
        """(n,) str, equal for images of one patient; of one lesion where no patient is known."""
        return np.array([group_of(record) for record in self.records])

    def take(self, rows: np.ndarray) -> Features:
        """The given rows (integers or a mask), in that order."""
        rows = np.arange(len(self))[rows]
        values = {name: value[torch.from_numpy(rows)] for name, value in self.values.items()}
        records = [self.records[row] for row in rows]
        return Features(self.split, self.samples[rows], records, values, self.skipped)


def group_of(record: Record) -> str:
    """What a sample shares with others that are not independent of it, named uniquely over datasets."""
    if record.patient_id:
        return f"{record.dataset}/patient/{record.patient_id}"
    if record.lesion_id:
        return f"{record.dataset}/lesion/{record.lesion_id}"
    return f"{record.dataset}/image/{record.image_id}"


def choose_samples(split: Split, limit: int, seed: int) -> np.ndarray:
    """Sample numbers, ascending, at most `limit` of each dataset and domain (0: all), drawn by `seed`."""
    if limit <= 0:
        return np.arange(len(split))
    generator = np.random.default_rng(seed)
    names = np.array([f"{a}\n{b}" for a, b in zip(split.dataset, split.domain, strict=True)])
    chosen = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        chosen.append(generator.permutation(rows)[:limit])
    return np.sort(np.concatenate(chosen))


@torch.inference_mode()
def compute_features(
    split: Split, samples: np.ndarray, reading: Reading, compute: Compute, device: torch.device
) -> Features:
    """Read `samples` and compute their features. Samples that cannot be read are counted in `skipped`.

    Raises `DataError` when none can be read.
    """
    corrupt: Counter[str] = Counter()
    batches = read_batches(split, samples, reading.image_size, reading.batch, reading.workers, corrupt)
    ids: list[np.ndarray] = []
    records: list[Record] = []
    values: dict[str, list[torch.Tensor]] = {}
    steps = -(-len(samples) // reading.batch)
    for images, batch_records, batch_ids in track(batches, f"features of {split.name}, batches", steps):
        for name, value in compute(images.to(device), batch_records).items():
            values.setdefault(name, []).append(value.float().cpu())
        records.extend(batch_records)
        ids.append(batch_ids)
    if not records:
        raise DataError(
            f"none of the {len(samples)} samples of split {split.name!r} in {split.folder} can be read: "
            f"run `mmfm data verify {split.folder}`"
        )
    joined = {name: torch.cat(parts) for name, parts in values.items()}
    return Features(split, np.concatenate(ids), records, joined, dict(corrupt))


def tokenize(
    texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of texts, padded to the longest, and their mask: both int64 (b, T)."""
    tokens, mask = pad(tokenizer.encode(list(texts), max_tokens), tokenizer.pad_id)
    return torch.from_numpy(tokens), torch.from_numpy(mask)


@torch.inference_mode()
def embed_texts(
    texts: Sequence[str], loaded: LoadedModel, batch: int, device: torch.device, what: str
) -> torch.Tensor:
    """Embeddings of texts, (t, d) float32 on the CPU, by a two-tower model."""
    assert isinstance(loaded.model, DualEncoder)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths waste no padding
    parts = []
    for start in track(range(0, len(order), batch), what):
        chosen = [texts[i] for i in order[start : start + batch]]
        tokens, mask = tokenize(chosen, loaded.tokenizer, loaded.max_tokens)
        parts.append(loaded.model.encode_text(tokens.to(device), mask.to(device)).float().cpu())
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]
