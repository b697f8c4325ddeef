"""The samples of all sources of a recipe, each with its notes, ready to be planned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_tools.config import ShardsConfig, SourceConfig
from data_tools.notes.audit.judgements import with_judgements
from data_tools.notes.gather import check_notes, notes_of
from data_tools.notes.strategies.shuffled import NAME as CONTROL
from data_tools.notes.strategies.shuffled import shuffled
from data_tools.patches import load_patches, told_patches
from data_tools.shards.plan import Sample
from data_tools.sources import Reject, read_source
from mmfm.errors import DataError
from mmfm.progress import say
from mmfm.records import Record


@dataclass
class SourceInputs:
    """What one source gave: the name of its records, its config, and the rows that it refused."""

    dataset: str
    config: SourceConfig
    rows: int
    rejects: list[Reject]


@dataclass
class Inputs:
    """All sources, and their samples in the order of the recipe and of the metadata."""

    sources: list[SourceInputs]
    samples: list[Sample]

    @property
    def rejects(self) -> list[Reject]:
        """Rows refused when the sources were read."""
        return [reject for source in self.sources for reject in source.rejects]

    @property
    def records(self) -> list[Record]:
        """The record of each sample."""
        return [sample.record for sample in self.samples]

    @property
    def heldout(self) -> list[bool]:
        """Whether each sample is of a source that is never trained on."""
        return [self.sources[sample.source].config.heldout for sample in self.samples]

    @property
    def newest(self) -> float:
        """Time of the last change to an image, in seconds since the epoch."""
        return max((sample.changed for sample in self.samples), default=0.0)


def read_inputs(cfg: ShardsConfig, limit: int = 0) -> Inputs:
    """Read the sources of a recipe, and gather the notes of their records, with what a judge said of them.

    `limit`: most records of each source, the first ones; 0 for all. Raises as `read_samples`, `notes_of` and
    `with_judgements`.
    """
    check_notes(cfg)
    inputs = read_samples(cfg, limit)
    gathered = notes_of(cfg, [(sample.record, sample.image) for sample in inputs.samples])
    for sample, notes in zip(inputs.samples, gathered, strict=True):
        sample.record = replace(sample.record, notes=notes)
    if cfg.audit.enabled and cfg.audit.judge:
        for sample, record in zip(inputs.samples, with_judgements(cfg, inputs.records), strict=True):
            sample.record = record
    return inputs


def with_control(cfg: ShardsConfig, inputs: Inputs, splits: Sequence[str]) -> Inputs:
    """The inputs with every control R dealt anew, from lesions of the same split.

    `read_inputs` deals it from all: splits are settled later, when images have been compared.
    """
    if CONTROL not in cfg.notes:
        return inputs
    records = inputs.records
    dealt = shuffled(records, [record.notes for record in records], splits=splits)
    samples = []
    for sample, note in zip(inputs.samples, dealt, strict=True):
        notes = {name: other for name, other in sample.record.notes.items() if name != CONTROL or note}
        if note:
            notes[CONTROL] = note
        samples.append(replace(sample, record=replace(sample.record, notes=notes)))
    return replace(inputs, samples=samples)


def read_samples(cfg: ShardsConfig, limit: int = 0) -> Inputs:
    """Read the sources of a recipe, without notes; of each the first `limit` records, 0 for all.

    A record whose key an earlier source has taken is refused. Raises `DataError` when nothing is usable.
    """
    root = Path(cfg.root)
    patches = load_patches(cfg.patches)
    inputs = Inputs([], [])
    taken: set[str] = set()
    results = [read_source(source, root, patches) for source in cfg.sources]
    for line in told_patches(results, patches):
        say(line)
    for number, (source, result) in enumerate(zip(cfg.sources, results, strict=True)):
        rejects = list(result.rejects)
        for item in result.records[: limit or None]:
            record = item.record
            file = os.path.relpath(item.image, root)
            if record.key in taken:
                reason = f"key {record.key} is taken by another source"
                rejects.append(Reject(record.dataset, item.row, file, reason, item.table))
                continue
            taken.add(record.key)
            inputs.samples.append(Sample(number, item.row, record, item.image, file, item.table))
        datasets = [r.record.dataset for r in result.records] or [r.dataset for r in result.rejects]
        named = datasets[0] if datasets else source.dataset or source.kind
        rows = len(result.records) + len(result.rejects)
        inputs.sources.append(SourceInputs(named, source, rows, rejects))
    if not inputs.samples:
        raise DataError(f"no usable image in any source below {root}. {_first_reason(inputs)}")
    return inputs


def _first_reason(inputs: Inputs) -> str:
    rejects = inputs.rejects
    if not rejects:
        return "The metadata tables name no images"
    first = rejects[0]
    return f"All {len(rejects)} rows were refused, the first ({first.file or first.place}): {first.reason}"
