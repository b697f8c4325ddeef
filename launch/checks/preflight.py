"""Checks before a job is started or queued: what can be known to fail later fails now, with a message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.checks.forecast import GB, existing, newest_step, room, step_seconds
from launch.local.executor import check_local
from launch.slurm.script import check_slurm
from mmfm.config.schema import ClusterConfig, EvaluateConfig, PretrainConfig, WeightConfig
from mmfm.data.batching import Batching
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.training.checkpoint import newest_checkpoint
from mmfm.training.runfolder import RunFolder

HOUR = 3600  # seconds
NODE_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def check(config: Any) -> str:
    """Check the config of a job against its cluster and its shards. Returns one line that says what it found.

    Raises `ConfigError` or `DataError`, naming the key and the way out.
    """
    cluster: ClusterConfig = config.cluster
    (check_local if cluster.kind == "local" else check_slurm)(cluster)
    check_writable(Path(config.run.root))
    if isinstance(config, PretrainConfig):
        check_batch(config)
        check_hours(cluster)
        check_evals(config)
        check_run_folder(config)
        return check_split(config.data.shards, config.data.split, check_epoch(config))
    assert isinstance(config, EvaluateConfig)
    if cluster.nodes * cluster.processes != 1:
        raise ConfigError("evaluate runs in one process: set cluster.nodes=1 and cluster.processes=1")
    return check_split(config.shards, config.split)


def survey(config: Any) -> list[str]:
    """Look at what takes a moment: the model, room for checkpoints, time; of an evaluation, its checkpoint.

    Returns lines for people; a warning begins with the word. Raises `ConfigError`, `DataError` or
    `CheckpointError` for a model that cannot be built or is not there, and for want of room.
    """
    if isinstance(config, EvaluateConfig):
        return [f"checkpoint: {newest_checkpoint(config.checkpoint)}"]
    assert isinstance(config, PretrainConfig)
    return [check_room(config), *time_lines(config), *place_lines(config)]


def check_batch(config: PretrainConfig) -> None:
    """The global batch must fall into equal shares of whole micro-batches, on every number of nodes."""
    cluster, train = config.cluster, config.train
    fewest = cluster.min_nodes if cluster.kind == "slurm" and cluster.min_nodes else cluster.nodes
    for nodes in range(cluster.nodes, fewest - 1, -1):
        try:
            Batching(train.global_batch, train.micro_batch, rank=0, world=nodes * cluster.processes)
        except ConfigError as error:
            if fewest == cluster.nodes:
                raise
            raise ConfigError(
                f"on {nodes} of cluster.min_nodes={fewest} to cluster.nodes={cluster.nodes} nodes: {error}"
            ) from error


def check_hours(cluster: ClusterConfig) -> None:
    """A job must have time left before it is told to save and leave."""
    if cluster.kind == "slurm" and cluster.hours * HOUR <= cluster.save_seconds:
        raise ConfigError(
            f"cluster.hours={cluster.hours:g} is over when the job is told to save, cluster.save_seconds="
            f"{cluster.save_seconds} before its end: give it more hours"
        )


def check_evals(config: PretrainConfig) -> None:
    """Evaluations on the way need checkpoints that stay. (Their recipe is looked at when the job is made.)"""
    evals, checkpoint = config.evals, config.checkpoint
    if not evals.every:
        return
    if not checkpoint.keep_every or evals.every % checkpoint.keep_every:
        raise ConfigError(
            f"evals.every={evals.every} is no multiple of checkpoint.keep_every={checkpoint.keep_every}: a "
            f"checkpoint must stay until it is evaluated. Set checkpoint.keep_every={evals.every}"
        )
    if checkpoint.keep_every % checkpoint.every:
        raise ConfigError(
            f"checkpoint.keep_every={checkpoint.keep_every} is no multiple of "
            f"checkpoint.every={checkpoint.every}: at those steps nothing is saved, and nothing evaluated"
        )


def check_run_folder(config: PretrainConfig) -> None:
    """A run folder that exists must hold a run of this config."""
    RunFolder.of(config.run).check(config)


def check_writable(folder: Path) -> None:
    """A folder that a run writes into can be made, or written into."""
    there = existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"run.root={folder}: {there} cannot be written into. Choose another run.root")


def check_epoch(config: PretrainConfig) -> int:
    """Samples that the split must have at least: those of one batch, where all are drawn equally often."""
    return config.train.global_batch if config.data.weights == WeightConfig() else 1


def check_split(shards: str, split: str, least: int = 1) -> str:
    """The shards must be there, whole by their sizes, and the split must hold `least` samples."""
    info = Manifest.read(shards).filled(split, shards)
    for shard in info.shards:
        tar, index = Path(shards) / shard.path, Path(shards) / shard.index
        for path in (tar, index):
            if not os.access(path, os.R_OK):
                raise DataError(
                    f"{path} is missing or cannot be read: `mmfm data verify {shards}` tells more"
                )
        if tar.stat().st_size != shard.bytes:
            raise DataError(
                f"{tar} has {tar.stat().st_size} bytes instead of {shard.bytes}: `mmfm data verify {shards}` "
                "tells what is damaged"
            )
    if info.samples < least:
        raise ConfigError(
            f"train.global_batch={least} is more than the {info.samples} samples of {split!r} in {shards}: "
            "they would meet themselves in one batch"
        )
    return f"{shards}: {info.samples} samples in {split}, {len(info.shards)} shards"


def check_room(config: PretrainConfig) -> str:
    """The run's checkpoints must fit on the disk that they go to."""
    found = room(config)
    said = (
        f"checkpoints: {found.each / GB:.2g} GB each, {found.wanted / GB:.2g} GB to be written for "
        f"{found.kept} that stay and one on the way, {found.free / GB:.3g} GB free at {config.run.root}"
    )
    if found.wanted > found.free:
        raise ConfigError(
            f"{said}: make room, take another run.root, or keep fewer (checkpoint.keep, .keep_every)"
        )
    return said


def time_lines(config: PretrainConfig) -> Iterator[str]:
    """How long the run will take, and whether a job is long enough to save by itself."""
    run, cluster = RunFolder.of(config.run), config.cluster
    seconds = step_seconds(run, config.train.global_batch)
    if seconds is None:
        yield f"time: not known before the first steps; a checkpoint every {config.checkpoint.every} steps"
        return
    left = max(0, config.train.steps - newest_step(run)) * seconds
    interval = config.checkpoint.every * seconds
    yield (
        f"time: {seconds:.3g} s a step when it last ran, {interval / 60:.3g} min from save to save, "
        f"{left / HOUR:.3g} h to the last step"
    )
    if interval > cluster.hours * HOUR:
        fitting = max(1, int(cluster.hours * HOUR / 2 / seconds))
        yield (
            f"warning: from save to save takes longer than a job, cluster.hours={cluster.hours:g}: all of it "
            f"is lost if it crashes. Set checkpoint.every={fitting} or lower"
        )


def place_lines(config: PretrainConfig) -> Iterator[str]:
    """Folders that other nodes will hardly see. Each node looks for itself when the job starts."""
    if config.cluster.kind != "slurm":
        return
    for key, value in (("run.root", config.run.root), ("data.shards", config.data.shards)):
        for folder in NODE_FOLDERS:
            if Path(value).resolve().is_relative_to(folder):
                yield f"warning: {key}={value} lies below {folder}, which every node has for itself as a rule"
                break
