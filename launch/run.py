"""Runs a command's job where its config says, or tells what would run."""

from __future__ import annotations

from typing import Any

from launch.checks.preflight import check, survey
from launch.local.executor import run_local
from launch.local.supervise import JobError
from launch.recipes.commands import check_required, make_job
from launch.slurm.script import sbatch_script, submit_slurm
from launch.start.environment import process_environment, threads_per_process
from launch.start.job import Job, log_folder
from mmfm.config.schema import ClusterConfig, PretrainConfig
from mmfm.progress import say
from mmfm.training.checkpoint import newest_valid, read_position
from mmfm.training.runfolder import RunFolder


def run(command: str, config: Any) -> None:
    """Check the config, then run its job to the end here, or submit it to Slurm."""
    check_required(command, config)
    check(config)
    job = make_job(command, config)
    if config.cluster.kind == "local":
        run_local(job, config.cluster)
        if isinstance(config, PretrainConfig):
            check_complete(config)
        return
    for line in survey(config):
        say(line)
    job_id = submit_slurm(job, config.cluster)
    say(f"submitted as Slurm job {job_id}; logs: {str(log_folder(job)).replace('%j', job_id)}")


def check_complete(config: PretrainConfig) -> None:
    """Refuse to take a run for finished that left early, for its time limit or a signal from elsewhere."""
    folder = RunFolder.of(config.run)
    newest = newest_valid(folder.checkpoints)
    step = read_position(newest).step if newest else 0
    if step < config.train.steps:
        raise JobError(
            f"{folder.path} stopped after step {step} of {config.train.steps}; the same command goes on"
        )


def dry_run(command: str, config: Any) -> str:
    """Check the config like `run`, and return what would be started, without starting it."""
    check_required(command, config)
    found = check(config)
    job = make_job(command, config)
    for line in (found, *survey(config)):
        say(line if line.startswith("warning") else f"checked: {line}")
    if config.cluster.kind == "slurm":
        return sbatch_script(job, config.cluster)
    return _local_plan(job, config.cluster)


def _local_plan(job: Job, cluster: ClusterConfig) -> str:
    threads = threads_per_process(cluster.cpus, cluster.processes)
    lines = [
        f"command:    {job.command} ({job.function})",
        f"run folder: {job.run_folder}",
        f"processes:  {cluster.processes} on this machine, {threads} threads each",
        f"time limit: {cluster.hours:g} h",
        "environment of each process:",
        *(f"    {name}={value}" for name, value in process_environment(threads, cluster).items()),
        f"    RANK=0..{cluster.processes - 1} WORLD_SIZE={cluster.processes} MASTER_ADDR=127.0.0.1",
    ]
    return "\n".join(lines)
