"""The manifest of a folder of shards, from what was planned and what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.config import ShardsConfig
from data_tools.notes.audit import VERSION
from data_tools.shards.plan import Plan, identity
from data_tools.shards.writer import ShardReport
from mmfm.data.index import SPLITS, ShardIndex, read_index
from mmfm.data.manifest import DomainCounts, Manifest, SplitInfo
from mmfm.taxonomy import CODES

if TYPE_CHECKING:
    from data_tools.shards.inputs import Inputs  # brings all sources and strategies with it

Tally = Counter[tuple[str, str, str]]  # (dataset, domain, class code or "") -> samples


def tally(index: ShardIndex) -> Tally:
    """Count the samples of a shard by dataset, domain and class code ("" for an unknown label)."""
    return Counter(zip(index.dataset, index.domain, map(code_of, index.label), strict=True))


def code_of(label: int) -> str:
    """Class code of an integer label; "" for an unknown one or one outside the classes."""
    return CODES[label] if 0 <= label < len(CODES) else ""


def by_dataset(counts: Tally) -> dict[str, dict[str, DomainCounts]]:
    """Counts in the manifest's shape: names sorted, classes in their order, unknown labels in the sum."""
    shaped: dict[str, dict[str, DomainCounts]] = {}
    for dataset, domain in sorted({(dataset, domain) for dataset, domain, _ in counts}):
        labels = {code: counts[dataset, domain, code] for code in (*CODES, "")}
        named = {code: samples for code, samples in labels.items() if code and samples}
        shaped.setdefault(dataset, {})[domain] = DomainCounts(sum(labels.values()), named)
    return shaped


def manifest_of(
    cfg: ShardsConfig,
    plan: Plan,
    inputs: Inputs,
    splits: Sequence[str],
    reports: Sequence[ShardReport],
    duplicate_pairs: int,
    notes: dict[str, Any],
) -> Manifest:
    """The manifest. `splits` names the split of each sample, `reports` are those of all shards.

    `notes`: what became of the notes, as `verdicts.note_counts` has it.
    """
    return Manifest(
        created_by=plan.created_by,
        config_hash=plan.config_hash,
        notes=[name for name in dict.fromkeys(cfg.notes) if notes[name]["packed"]],
        classes=list(CODES),
        splits={name: split_info(name, reports, Path(cfg.output)) for name in SPLITS},
        sources=_source_rows(inputs, splits, reports),
        split_rule=asdict(cfg.split),
        dedup={"pairs": duplicate_pairs, **asdict(cfg.dedup)},
        config=identity(cfg),
        audit={"version": VERSION if cfg.audit.enabled else "", "notes": notes},
    )


def split_info(split: str, reports: Sequence[ShardReport], output: Path) -> SplitInfo:
    """Shards and counts of a split; the counts are those of the indices, so of what is in the tars."""
    shards = [report.info for report in reports if report.info and report.split == split]
    counts = sum((tally(read_index(output / info.index)) for info in shards), start=Tally())
    return SplitInfo(sum(info.samples for info in shards), shards, by_dataset(counts))


def _source_rows(
    inputs: Inputs, splits: Sequence[str], reports: Sequence[ShardReport]
) -> list[dict[str, Any]]:
    """For each source: samples written, rows rejected (read or packed), samples left out by the split."""
    dealt = list(zip(inputs.samples, splits, strict=True))
    planned = Counter(sample.source for sample, split in dealt if split)
    left_out = Counter(sample.source for sample, split in dealt if not split)
    unpacked = Counter(reject.source for report in reports for reject in report.rejects)
    return [
        {
            "dataset": source.dataset,
            "kind": source.config.kind,
            "records": planned[number] - unpacked[number],
            "rejected": len(source.rejects) + unpacked[number],
            "heldout": source.config.heldout,
            "left_out": left_out[number],
        }
        for number, source in enumerate(inputs.sources)
    ]
