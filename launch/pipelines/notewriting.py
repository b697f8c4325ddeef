"""`mmfm notes write` on Slurm: one job, or an array that shares the notes and a job that sees to the rest."""

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

COMMAND = "notes write"
JOBS = "jobs"  # below the store: logs and code


def runs_model(config: ShardsConfig) -> bool:
    """Whether a model runs in the job itself, which then takes a GPU; else it asks a server."""
    from data_tools.notes.asking import asked_notes

    return any(asked.writer.backend == "local" for asked in asked_notes(config))


def submit_notes(
    job: Job, config: ShardsConfig, folder: Path, terms: Terms = ALONE, parts: Terms = ALONE
) -> str:
    """Submit the jobs that write the notes, and return the id of the last one, which is `job`.

    The tasks of an array write a share each; the last job asks once more for what they could not get, and
    has nothing to do where that is nothing. `terms` are those of the last, `parts` those of the array.
    Scripts are kept in `folder`.
    """
    own = Path(job.run_folder)
    share = make_job(COMMAND, config, own, "launch.pipelines.notewriting:write_share_here")
    members = [Member(share, replace(parts, after=()))] * config.tasks
    array = submit_array(members, config.cluster, folder, COMMAND, after=parts.after)
    return submit_slurm(job, config.cluster, replace(terms, after=tuple(array)))


def submit(config: ShardsConfig) -> str:
    """Submit `mmfm notes write` to Slurm and return the id of the job that ends it.

    Each job is one process of the profile. Logs and code are kept in the store, in `jobs`.
    """
    cluster = ClusterConfig(**one_process(asdict(config.cluster), gpu=runs_model(config)))
    config = replace(config, cluster=cluster)
    own = Path(config.store) / JOBS
    job = make_job(COMMAND, config, own)
    if config.tasks > 1:
        return submit_notes(job, config, own)
    return submit_slurm(job, config.cluster)


def write_here(config: ShardsConfig) -> None:
    """What a job by itself does, and the last one of several: write all notes that are not there."""
    from data_tools.notes.writing import write_notes
    from mmfm.progress import say

    say(f"{config.store}: {write_notes(config)}")


def write_share_here(config: ShardsConfig) -> None:
    """What a task of the array does: write its share of the notes."""
    from data_tools.notes.writing import write_notes
    from mmfm.progress import say

    number = int(os.environ["SLURM_ARRAY_TASK_ID"])
    say(f"{config.store}: {write_notes(config, (number, config.tasks))}")
