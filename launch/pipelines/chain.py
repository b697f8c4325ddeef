"""Stages as Slurm jobs: each starts when those before it have ended well, a group of `each` as one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from launch.pipelines.notewriting import submit_notes
from launch.pipelines.records import FOLDER, HERE, NOT_RUN, OPEN, Records, Stage
from launch.pipelines.sharding import submit_shards
from launch.pipelines.stages import missing_part
from launch.recipes.commands import JOB_FUNCTIONS, make_job
from launch.slurm.array import Member, submit_array
from launch.slurm.queue import job_states
from launch.slurm.script import submit_slurm
from launch.slurm.terms import stage_terms
from launch.start.job import Job, log_folder
from mmfm.config.schema import PretrainConfig
from mmfm.errors import ConfigError
from mmfm.training.journal import Start


def stage_job(stage: Stage, folder: Path) -> Job:
    """The job of a stage. Those without a run keep logs and code in `stages/NAME` of the pipeline."""
    own = None if stage.command in JOB_FUNCTIONS else folder / FOLDER / stage.name
    return make_job(stage.command, stage.config, own)


def plan(folder: Path, stages: Sequence[Stage]) -> tuple[Records, dict[str, str]]:
    """Make `stages` the plan in `folder`. Returns their records, and the jobs of those that wait or run.

    Those keep the config with which they were submitted: it is what their jobs do.
    """
    before = Records(folder)
    known = before.stages if before.plan.exists() else {}
    queued = settle(before, known)
    planned = [replace(stage, logs=str(log_folder(stage_job(stage, folder)))) for stage in stages]
    records = Records(folder)
    gone = [known[name] for name in queued if name not in {stage.name for stage in stages}]
    records.write_plan([known[stage.name] if stage.name in queued else stage for stage in planned] + gone)
    return records, queued


def check_group(group: Sequence[Stage]) -> None:
    """Refuse a group whose stages on Slurm cannot be one job each, or all of one array. Raises `ConfigError`.

    A stage that is a chain of jobs would have several ends: its record, and the jobs that wait for it, would
    take the first for the stage's own.
    """
    places = {stage.name: stage.config.cluster for stage in group if stage.config.cluster.kind == "slurm"}
    for stage in group:
        chain = stage.config.cluster.chain
        if chain > 1 and stage.name in places and isinstance(stage.config, PretrainConfig):
            raise ConfigError(
                f"{stage.name}: cluster.chain={chain} does not go with a pipeline or sweep: its record, and "
                "what waits for it, would take the end of the first job for the end of the run. Set "
                "cluster.chain=1: when its time is over, the same command again goes on from what it saved. "
                f"Or run it by itself, with `mmfm {stage.command}`"
            )
    first = next(iter(places), "")
    for name, place in places.items():
        before, now = asdict(places[first]), asdict(place)
        other = next((key for key in before if before[key] != now[key]), "")
        if other:
            raise ConfigError(
                f"cluster.{other} is {before[other]!r} for {first} and {now[other]!r} for {name}: as jobs of "
                "one array they have the same resources. Make them alike, or give each a stage or sweep"
            )


def submit_group(group: Sequence[Stage], folder: Path, after: Sequence[str]) -> dict[str, str]:
    """Submit the stages of one group, which start after the jobs `after`. Returns their jobs by name.

    Raises `UserError` where Slurm refuses them.
    """
    records = Records(folder)
    if len(group) == 1:
        stage = group[0]
        terms = stage_terms(folder, stage.name, tuple(after))
        job = stage_job(stage, folder)
        if stage.command == "data shard" and stage.config.pack.tasks > 1:
            parts = stage_terms(folder, stage.name, tuple(after), part=True)
            name = submit_shards(job, stage.config, folder / FOLDER / stage.name, terms, parts)
        elif stage.command == "notes write" and stage.config.tasks > 1:
            parts = stage_terms(folder, stage.name, tuple(after), part=True)
            name = submit_notes(job, stage.config, folder / FOLDER / stage.name, terms, parts)
        else:
            name = submit_slurm(job, stage.config.cluster, terms)
        jobs = {stage.name: name}
    else:
        members = [Member(stage_job(stage, folder), stage_terms(folder, stage.name)) for stage in group]
        first = group[0]
        array = folder / FOLDER / first.group
        names = submit_array(members, first.config.cluster, array, first.group, first.limit, after)
        jobs = {stage.name: name for stage, name in zip(group, names, strict=True)}
    for stage in group:
        records[stage.name].note("submitted", Start(jobs[stage.name]), after=list(after))
    return jobs


def settle(records: Records, stages: Mapping[str, Stage]) -> dict[str, str]:
    """The jobs of stages that wait or run, by the stage's name.

    A stage whose job is gone without a word gets its end written down: its node was lost, or Slurm ended it.
    Raises `UserError` where Slurm cannot be asked, but only if there is a job to ask for.
    """
    opened = {name: records[name].status for name in stages}
    jobs = {name: status.job for name, status in opened.items() if status.name in OPEN}
    jobs = {name: job for name, job in jobs.items() if job != HERE.job}
    states = job_states(list(jobs.values())) if jobs else {}
    queued = {name: job for name, job in jobs.items() if states[job].queued}
    for name, job in jobs.items():
        if name not in queued:
            _write_end(records, stages[name], job, states[job].state)
    return queued


def _write_end(records: Records, stage: Stage, job: str, state: str) -> None:
    """Write down how a stage ended whose job could not say so itself."""
    start, record = Start(job), records[stage.name]
    if record.status.name not in OPEN:  # it has just said so
        return
    if record.has_run(job) and not missing_part(stage.command, stage.config):
        records.finish(stage, start)
        return
    unmet = [name for name in stage.after if records[name].status.name not in (*OPEN, "finished")]
    if unmet and not record.has_run(job):
        before = records[unmet[0]].status
        why = (
            before.cause if before.cause.startswith(NOT_RUN) else f"{unmet[0]} {before.name}: {before.cause}"
        )
        record.note("cancelled", start, cause=NOT_RUN + why.removeprefix(NOT_RUN))
        return
    if state == "cancelled":
        record.note("cancelled", start, cause=f"its job {job} was cancelled")
        return
    logs = stage.logs.replace("%j", job)
    record.note("failed", start, cause=f"job {job} ended without a word ({state}); logs: {logs}")
