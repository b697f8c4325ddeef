"""Checks before a job is started or queued: what can be known to fail later fails now, with a message."""

from __future__ import annotations

from typing import Any

from launch.executor import check_local
from launch.slurm import check_slurm
from mmfm.config.schema import ClusterConfig, EvaluateConfig, PretrainConfig
from mmfm.data.batching import Batching
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError
from mmfm.training.runfolder import RunFolder


def check(config: Any) -> str:
    """Check the config of a job against its cluster and its shards. Returns one line that says what it found.

    Raises `ConfigError` or `DataError`, naming the key and the way out.
    """
    cluster: ClusterConfig = config.cluster
    (check_local if cluster.kind == "local" else check_slurm)(cluster)
    if isinstance(config, PretrainConfig):
        check_batch(config)
        check_run_folder(config)
        return check_split(config.data.shards, config.data.split)
    assert isinstance(config, EvaluateConfig)
    if cluster.nodes * cluster.processes != 1:
        raise ConfigError("evaluate runs in one process: set cluster.nodes=1 and cluster.processes=1")
    return check_split(config.shards, config.split)


def check_batch(config: PretrainConfig) -> None:
    """The global batch must fall into equal shares of whole micro-batches."""
    world = config.cluster.nodes * config.cluster.processes
    Batching(config.train.global_batch, config.train.micro_batch, rank=0, world=world)


def check_run_folder(config: PretrainConfig) -> None:
    """A run folder that exists must hold a run of this config."""
    RunFolder.of(config.run).check(config)


def check_split(shards: str, split: str) -> str:
    """The shards must be there and the split must hold samples."""
    samples = Manifest.read(shards).filled(split, shards).samples
    return f"{shards}: {samples} samples in {split}"
