"""What people do to a run from outside: end it, or have it started again."""

from __future__ import annotations

from pathlib import Path

from submitit.core.utils import DelayedSubmission

from launch.run import run as submit
from launch.slurm.queue import cancel_job, job_states, requeue_job
from launch.start.job import Job
from launch.watching.runjobs import RunJobs, is_local
from mmfm.errors import UserError


def cancel(run: Path) -> list[str]:
    """Have Slurm end the jobs of a run, which save first. Returns their ids, those that wait before others.

    Raises `UserError` if none is in the queue.
    """
    jobs = _on_slurm(run)
    states = job_states(jobs.on_slurm)
    queued = [job for job in jobs.on_slurm if states[job].queued]
    if not queued:
        newest = jobs.on_slurm[-1]
        raise UserError(f"no job of {run} waits or runs; the last, {newest}, is {states[newest].state}")
    order = sorted(queued, key=lambda job: states[job].running)  # else a chained job begins in between
    for job in order:
        cancel_job(job)
    return order


def requeue(run: Path) -> str:
    """Have a run start again: stop and requeue the job that runs, or submit again what was submitted last.

    Returns what was done, in words. Raises `UserError` where there is nothing to do or to go by.
    """
    jobs = _on_slurm(run)
    states = job_states(jobs.on_slurm)
    running = [job for job in jobs.on_slurm if states[job].running]
    if running:
        requeue_job(running[0])
        return f"requeued job {running[0]}: it saves, and its next start goes on from there"
    waiting = [job for job in jobs.on_slurm if states[job].queued]
    if waiting:
        reason = states[waiting[0]].reason or states[waiting[0]].state
        raise UserError(f"job {waiting[0]} of {run} is in the queue already ({reason})")
    job = kept_job(jobs)
    submit(job.command, job.typed_config())
    return f"submitted {run} again, with the config of its last submission"


def kept_job(jobs: RunJobs) -> Job:
    """What was submitted last for a run. Raises `UserError` if it was not kept, or from another folder."""
    pickles = [jobs.folder(name) / f"{name}_submitted.pkl" for name in jobs.on_slurm]
    kept = [path for path in pickles if path.exists()]
    if not kept:
        raise UserError(f"{jobs.run} keeps no submission of mmfm: submit it as you did before")
    job = DelayedSubmission.load(kept[-1]).function
    assert isinstance(job, Job)
    here = jobs.run.resolve()
    if Path(job.run_folder).resolve() not in (here, here.parent):  # evaluations have their logs one below
        raise UserError(
            f"{jobs.run} was submitted from another folder, from which its config names {job.run_folder}: "
            "run this there"
        )
    return job


def _on_slurm(run: Path) -> RunJobs:
    """The jobs of a run that Slurm has. Raises `UserError` for a run of one machine."""
    jobs = RunJobs.of(run)
    if is_local(jobs.names[-1]) and not jobs.on_slurm:
        process = jobs.names[-1].rpartition("-")[2]
        raise UserError(
            f"{run} runs on one machine, not on Slurm: Ctrl-C there, or `kill {process}`, has it save and "
            "leave; the same mmfm command goes on"
        )
    return jobs
