"""What people do to a run from outside: end it, or have it started again."""

from __future__ import annotations

from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths

from launch.run import run as submit
from launch.slurm.queue import cancel_job, job_states, requeue_job, signal_job
from launch.slurm.terms import stage_of
from launch.start.job import Job
from launch.watching.runjobs import RunJobs, is_local
from mmfm.errors import UserError

NO_REQUEUE = "#SBATCH --no-requeue"  # in the scripts of a chain's jobs


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
    waiting = [job for job in jobs.on_slurm if states[job].queued and job not in running]
    if running:
        return _start_again(jobs, running[0], waiting)
    if waiting:
        reason = states[waiting[0]].reason or states[waiting[0]].state
        raise UserError(f"job {waiting[0]} of {run} is in the queue already ({reason})")
    job = _last_alone(jobs)
    submit(job.command, job.typed_config())
    return f"submitted {run} again, with the config of its last submission"


def _start_again(jobs: RunJobs, name: str, waiting: list[str]) -> str:
    """Have a job that runs save and leave; it or the next of its chain goes on. Returns that in words."""
    if NO_REQUEUE not in _script(jobs, name):
        requeue_job(name)
        return f"requeued job {name}: it saves, and its next start goes on from there"
    if not waiting:
        raise UserError(
            f"job {name} is the last of its chain, and Slurm does not requeue it ({NO_REQUEUE}): end it with "
            f"`mmfm cancel {jobs.run}`, which saves; then `mmfm requeue {jobs.run}` submits a chain anew"
        )
    signal_job(name, "USR2")
    return f"job {name} saves and leaves; job {waiting[0]}, the next of its chain, goes on from there"


def _last_alone(jobs: RunJobs) -> Job:
    """What was submitted last for a run, by itself.

    Raises `UserError` if it was not kept, or submitted from another folder or by a pipeline or sweep.
    """
    kept = [name for name in jobs.on_slurm if _paths(jobs, name).submitted_pickle.exists()]
    if not kept:
        raise UserError(f"{jobs.run} keeps no submission of mmfm: submit it as you did before")
    stage = stage_of(_script(jobs, kept[-1]))
    if stage:
        folder, name = stage
        raise UserError(
            f"{jobs.run} is {name} of the pipeline or sweep in {folder}: give its `mmfm pipeline` or `mmfm "
            "sweep` command again; it passes over what is finished or in the queue, and goes on with the rest"
        )
    job = DelayedSubmission.load(_paths(jobs, kept[-1]).submitted_pickle).function
    assert isinstance(job, Job)
    here = jobs.run.resolve()
    if Path(job.run_folder).resolve() not in (here, here.parent):  # evaluations have their logs one below
        raise UserError(
            f"{jobs.run} was submitted from another folder, from which its config names {job.run_folder}: "
            "run this there"
        )
    return job


def _script(jobs: RunJobs, name: str) -> str:
    """The script that was submitted as a job; "" if that was not kept."""
    path = _paths(jobs, name).submission_file
    return path.read_text() if path.exists() else ""


def _paths(jobs: RunJobs, name: str) -> JobPaths:
    """Where submitit keeps what belongs to a job."""
    return JobPaths(jobs.folder(name), job_id=name)


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
