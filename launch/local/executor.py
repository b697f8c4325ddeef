"""Runs a job as processes of this machine, through submitit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from submitit import LocalExecutor
from submitit.local.local import LocalJob

from launch.local.controller import JOB_ID_VARIABLE
from launch.local.follow import follower
from launch.local.supervise import supervise
from launch.slurm.queue import refuse_second
from launch.start.environment import clean_environment, process_environment, threads_per_process
from launch.start.job import Job, log_folder
from mmfm.config.schema import ClusterConfig
from mmfm.errors import ConfigError
from mmfm.training.journal import Start

MINUTES_PER_HOUR = 60


class RankExecutor(LocalExecutor):
    """submitit's local executor with our controller, in a session of its own.

    The session keeps a terminal's Ctrl-C from the ranks: `supervise` asks them to stop, once.
    """

    def __init__(self, folder: Path, job_id: str, environment: dict[str, str]) -> None:
        super().__init__(folder)
        self.job_id = job_id
        self.environment = environment

    def _submit_command(self, command: str) -> LocalJob[Any]:
        processes = self.parameters["tasks_per_node"]
        own = {
            JOB_ID_VARIABLE: self.job_id,
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_LOCAL_COMMAND": command,
            "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
            "SUBMITIT_LOCAL_NODEID": "0",
            "SUBMITIT_LOCAL_NTASKS": str(processes),
            "SUBMITIT_LOCAL_SIGNAL_DELAY_S": "60",
            "SUBMITIT_LOCAL_TIMEOUT_S": str(int(self.parameters["timeout_min"] * 60)),
            "SUBMITIT_LOCAL_WITH_SHELL": "",
            "SUBMITIT_STDERR_TO_STDOUT": "",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "launch.local.controller", str(self.folder)],
            env={**clean_environment(os.environ), **self.environment, **own},
            start_new_session=True,
        )
        return LocalJob(self.folder, self.job_id, list(range(processes)), process)


def run_local(job: Job, cluster: ClusterConfig) -> None:
    """Run `job` in `cluster.processes` processes here and wait for them, showing how they get on.

    Raises the `UserError` of a process, `JobError` for other failures, `StoppedError` after a stop signal.
    """
    check_local(cluster)
    if job.trains:
        refuse_second(job)
    job_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    threads = threads_per_process(cluster.cpus, cluster.processes)
    executor = RankExecutor(log_folder(job), job_id, process_environment(threads, cluster))
    executor.update_parameters(
        tasks_per_node=cluster.processes, timeout_min=cluster.hours * MINUTES_PER_HOUR, nodes=1
    )
    if job.trains:
        job.journal.append("submitted", Start(job_id), nodes=1, processes=cluster.processes)
    submitted = executor.submit(job)
    assert isinstance(submitted, LocalJob) and submitted._process is not None
    supervise(submitted._process, submitted.paths.folder, follower(job, submitted.paths.stderr))


def check_local(cluster: ClusterConfig) -> None:
    """Refuse what one machine cannot do."""
    if cluster.nodes != 1:
        raise ConfigError(
            f"cluster.nodes={cluster.nodes}, but a local job has one node: "
            "use cluster.processes, or cluster=slurm"
        )
    if cluster.processes < 1:
        raise ConfigError(f"cluster.processes={cluster.processes} must be at least 1")
