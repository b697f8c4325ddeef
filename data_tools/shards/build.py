"""`shard`: from a recipe to a finished folder of shards.

Several machines can share the writing: `prepare` settles what goes where, `write_share` writes some of the
shards on each, and `shard` afterwards finds them written and adds the manifest.
"""

from __future__ import annotations

import fcntl
import shutil
from functools import partial
from pathlib import Path

from data_tools.config import ShardsConfig
from data_tools.dedup import find_duplicates
from data_tools.notes.audit.settings import check_settings
from data_tools.shards.deal import Deal
from data_tools.shards.inputs import Inputs, read_inputs, with_control
from data_tools.shards.plan import PARTS, Plan, ShardJob, plan_shards
from data_tools.shards.rejects import RejectTally
from data_tools.shards.resume import hold, write_missing
from data_tools.shards.summary import manifest_of
from data_tools.shards.verdicts import (
    note_counts,
    packed,
    read_verdicts,
    settle_verdicts,
    write_refused,
)
from data_tools.shards.writer import ShardReport, write_shard
from data_tools.splits import assign_splits
from mmfm.config.load import require
from mmfm.data.manifest import MANIFEST_NAME, Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say


def shard(cfg: ShardsConfig) -> Manifest:
    """Write the folder of shards that `cfg` describes and return its manifest.

    The same inputs and config give the same bytes, whatever `pack.workers`. An interrupted run goes on where
    it stopped; a finished folder returns at once. Raises `ConfigError` when the output folder holds
    something else, `DataError` when a source cannot be read or too many of its rows are rejected.
    """
    _check(cfg)
    output = Path(cfg.output)
    inputs = read_inputs(cfg)
    plan = Plan.of(cfg, inputs.samples, inputs.rejects)
    plan.check(output)  # a folder of something else is not touched, not even by the lock
    if not (output / MANIFEST_NAME).is_file():
        with hold(output):
            plan.claim(output)
            if not (output / MANIFEST_NAME).is_file():  # another process may have finished it since
                _write(cfg, plan, inputs).write(output)
        shutil.rmtree(output / PARTS, ignore_errors=True)  # or by another process that waited for this one
    return _finished(output, inputs)


def prepare(cfg: ShardsConfig) -> None:
    """Claim the output folder and settle which sample goes where, for `write_share`. Raises as `shard`."""
    _check(cfg)
    output = Path(cfg.output)
    inputs = read_inputs(cfg)
    plan = Plan.of(cfg, inputs.samples, inputs.rejects)
    plan.check(output)
    if (output / MANIFEST_NAME).is_file():
        return
    with hold(output):
        plan.claim(output)
        RejectTally(inputs, output, cfg.max_reject_share).check()
        deal = _deal(cfg, inputs)
        settle_verdicts(cfg, with_control(cfg, inputs, deal.splits))


def write_share(cfg: ShardsConfig, number: int, of: int) -> None:
    """Write every `of`-th shard, beginning with that of `number`, but for those that are there.

    It comes after `prepare`, and may be interrupted and called again. Raises `DataError` without a plan, or
    when the inputs have changed since.
    """
    _check(cfg)
    output = Path(cfg.output)
    if (output / MANIFEST_NAME).is_file():
        return
    inputs = read_inputs(cfg)
    deal, verdicts = Deal.read(output, inputs), read_verdicts(output, inputs)
    settled = Plan.of(cfg, inputs.samples, inputs.rejects).check(output)
    if deal is None or verdicts is None or not settled:
        raise DataError(f"{output} has no plan for these inputs: begin anew with `mmfm data shard`")
    inputs = with_control(cfg, inputs, deal.splits)
    with hold(output, fcntl.LOCK_SH):
        samples = packed(inputs, verdicts).samples
        jobs = plan_shards(samples, deal.splits, cfg.pack.samples_per_shard)[number::of]
        _write_shards(jobs, output, cfg, RejectTally(inputs, output, cfg.max_reject_share))


def _write(cfg: ShardsConfig, plan: Plan, inputs: Inputs) -> Manifest:
    """Write all shards, `rejects.csv` and `refused_notes.jsonl`."""
    output = Path(cfg.output)
    tally = RejectTally(inputs, output, cfg.max_reject_share)
    tally.check()
    deal = _deal(cfg, inputs)
    inputs = with_control(cfg, inputs, deal.splits)
    verdicts = settle_verdicts(cfg, inputs)
    jobs = plan_shards(packed(inputs, verdicts).samples, deal.splits, cfg.pack.samples_per_shard)
    reports = _write_shards(jobs, output, cfg, tally)
    tally.write()
    write_refused(output, inputs, verdicts)
    notes = note_counts(cfg, inputs, verdicts, reports)
    return manifest_of(cfg, plan, inputs, deal.splits, reports, deal.duplicate_pairs, notes)


def _deal(cfg: ShardsConfig, inputs: Inputs) -> Deal:
    """The split of each sample: as an earlier run settled it, or settled now."""
    output = Path(cfg.output)
    deal = Deal.read(output, inputs)
    if deal is None:
        pairs = _duplicates(cfg, inputs)
        deal = Deal(assign_splits(inputs.records, inputs.heldout, cfg.split, pairs), len(pairs))
        deal.write(output)
    return deal


def _check(cfg: ShardsConfig) -> None:
    require(cfg, "root", "output")
    if not cfg.sources:
        raise ConfigError("sources is empty: name at least one set of images in the recipe")
    if not Path(cfg.root).is_dir():
        raise DataError(f"data folder {cfg.root} not found: set root to the folder that holds the raw data")
    check_settings(cfg.audit)
    if cfg.pack.samples_per_shard < 1:
        raise ConfigError(f"pack.samples_per_shard={cfg.pack.samples_per_shard} must be at least 1")


def _finished(output: Path, inputs: Inputs) -> Manifest:
    written = (output / MANIFEST_NAME).stat().st_mtime
    if inputs.newest > written:
        say(f"{output} is kept as it is, though images are newer than it: delete it to write it anew")
    return Manifest.read(output)


def _write_shards(
    jobs: list[ShardJob], output: Path, cfg: ShardsConfig, tally: RejectTally
) -> list[ShardReport]:
    """Reports of all jobs, in their order: those of an earlier run, and those written now."""

    def count(report: ShardReport) -> None:
        tally.add(report.rejects)
        tally.check()

    write = partial(write_shard, output=output, pack=cfg.pack, preparation=cfg.prepare)
    return write_missing(jobs, output, write, cfg.pack.workers, count)


def _duplicates(cfg: ShardsConfig, inputs: Inputs) -> list[tuple[int, int, int]]:
    """Pairs of samples that show the same picture, with their distance in bits."""
    if not cfg.dedup.enabled:
        return []
    images = [sample.image for sample in inputs.samples]
    sets = [sample.record.dataset for sample in inputs.samples]
    return find_duplicates(images, sets, cfg.dedup, cfg.prepare.max_pixels)
