"""`mmfm data shard` on Slurm: one job, or a job that plans, an array that writes and one that merges."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from data_tools.config import ShardsConfig
from launch.recipes.commands import make_job
from launch.recipes.overrides import one_process
from launch.slurm.array import Member, submit_array
from launch.slurm.script import ALONE, submit_slurm
from launch.slurm.terms import Terms
from launch.start.job import Job
from mmfm.config.schema import ClusterConfig

JOBS_SUFFIX = ".jobs"


def submit_shards(
    job: Job, config: ShardsConfig, folder: Path, terms: Terms = ALONE, parts: Terms = ALONE
) -> str:
    """Submit the jobs that write a folder of shards, and return the id of the last one, which is `job`.

    `terms` are those of the last, `parts` those of the jobs before it. Scripts are kept in `folder`.
    """
    cluster, tasks = config.cluster, config.pack.tasks
    own = Path(job.run_folder)
    settle = make_job("data shard", config, own, "data_tools.shards.build:prepare")
    share = make_job("data shard", config, own, "launch.pipelines.sharding:write_share_here")
    planned = submit_slurm(settle, cluster, parts)
    members = [Member(share, replace(parts, after=()))] * tasks
    array = submit_array(members, cluster, folder, "data shard", after=[planned])
    return submit_slurm(job, cluster, replace(terms, after=tuple(array)))


def submit(config: ShardsConfig) -> str:
    """Submit `mmfm data shard` to Slurm and return the id of the job that ends it.

    Each job is one process of the profile. Logs and code are kept beside the shards, in OUTPUT.jobs: the
    folder itself holds shards alone.
    """
    cluster = ClusterConfig(**one_process(asdict(config.cluster), gpu=False))
    config = replace(config, cluster=cluster)
    own = Path(config.output + JOBS_SUFFIX)
    job = make_job("data shard", config, own)
    if config.pack.tasks > 1:
        return submit_shards(job, config, own)
    return submit_slurm(job, config.cluster)


def write_share_here(config: ShardsConfig) -> None:
    """What a task of the array does: write its share of the shards."""
    from data_tools.shards.build import write_share

    write_share(config, int(os.environ["SLURM_ARRAY_TASK_ID"]), config.pack.tasks)
