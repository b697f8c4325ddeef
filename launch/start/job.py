"""The job: what every process of a run executes, on this machine and on a cluster alike."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from launch.start.environment import Place, rank_environment
from launch.start.lastword import promise_last_word
from launch.start.lifeline import end_with_parent
from mmfm.config.schema import ClusterConfig, PretrainConfig
from mmfm.errors import USER_ERROR_EXIT, UserError
from mmfm.training.failure import LOGS_VARIABLE, BadNodeError, Failure, leave
from mmfm.training.journal import COUNT_VARIABLE, JOB_VARIABLE, Journal, StaleError, Start
from mmfm.training.runfolder import RunFolder
from mmfm.training.signals import StopFlag

RESTARTS_VARIABLE = "SLURM_RESTART_COUNT"  # not set at the first start
NODE_ERROR_EXIT = 3  # of a process whose node is not fit, for the case that it can leave no file that says so


def resolve(reference: str) -> Any:
    """The object that "package.module:name" refers to."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


@dataclass
class Job:
    """A function of one typed config, by name, so that the pickle holds no code and no heavy objects."""

    command: str  # as on the command line: pretrain, finetune, evaluate
    function: str  # "module:function", called with the config in every process
    schema: str  # "module:dataclass" of the config
    config: dict[str, Any] = field(repr=False)
    run_folder: str

    @property
    def trains(self) -> bool:
        """Whether the job trains the model of its run folder: it saves, and goes on from what was saved."""
        return issubclass(resolve(self.schema), PretrainConfig)

    @property
    def journal(self) -> Journal:
        """What has happened to the run."""
        return RunFolder(Path(self.run_folder)).journal

    def __call__(self) -> None:
        """Run this process's share. The environment is set before anything heavy is imported."""
        from submitit import JobEnvironment

        here = JobEnvironment()
        if here.cluster == "local":  # on a cluster, Slurm sees to that
            end_with_parent(signal.SIGKILL)
        place = Place(
            rank=here.global_rank,
            world=here.num_tasks,
            local_rank=here.local_rank,
            local_world=here.num_tasks // here.num_nodes,
            nodes=tuple(here.hostnames),
        )
        start = slurm_start() if here.cluster == "slurm" else Start(here.job_id)
        logs = here.paths.folder
        os.environ.update(
            {JOB_VARIABLE: start.job, COUNT_VARIABLE: str(start.count), LOGS_VARIABLE: str(logs)}
        )
        if here.cluster != "slurm":
            signal.signal(signal.SIGTERM, _leave)
        elif self.trains:
            StopFlag().heed()  # training sees it as soon as all ranks are there, and they leave together
            if place.rank == 0:
                promise_last_word(self.journal, start, place.nodes)
        else:
            signal.signal(signal.SIGTERM, _leave)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # there is nothing to save
        try:
            config = self.typed_config()
            cluster = getattr(config, "cluster", ClusterConfig())  # some jobs of pipelines have none
            if cluster.chain > 1 and self._over():
                return
            self._prepare(config, cluster, place, start, logs)
            outcome = self._run(config)
            if here.cluster == "slurm" and _unfinished(config, outcome):
                from launch.slurm.requeue import requeue

                requeue(place.rank, self.journal, start, cluster.chain)
        except UserError as error:
            kind = "stale" if isinstance(error, StaleError) else "user"
            _leave_failure(logs, place, start, kind, error)
            print(f"mmfm: error: {error}", flush=True)  # into the log; the launcher shows it to people
            sys.exit(USER_ERROR_EXIT)
        except BadNodeError as error:
            _leave_failure(logs, place, start, "node", error)
            print(f"mmfm: error: rank {place.rank} on {place.node}: {error}", file=sys.stderr, flush=True)
            sys.exit(NODE_ERROR_EXIT)
        except Exception as error:
            _leave_failure(logs, place, start, "crash", error)
            raise

    def typed_config(self) -> Any:
        """The config as the dataclass that the function takes."""
        from omegaconf import OmegaConf

        from mmfm.config import load

        return load(resolve(self.schema), base=lambda _: OmegaConf.create(self.config))

    def _over(self) -> bool:
        """Whether there is nothing left to do, as for the later jobs of a chain. They need not load torch."""
        from launch.start.claim import is_done

        over = self.trains and is_done(RunFolder(Path(self.run_folder)))
        if over:
            print(f"{self.run_folder} has all of its steps already", file=sys.stderr, flush=True)
        return over

    def _prepare(self, config: Any, cluster: ClusterConfig, place: Place, start: Start, logs: Path) -> None:
        """Take the run over, meet the other processes, and set the environment that they agree on."""
        from launch.slurm.requeue import warn_without_scontrol
        from launch.start.claim import claim
        from launch.start.meeting import Meeting, Report, meeting_folder
        from launch.start.nodecheck import check_node, check_run_folder, lacking
        from launch.start.snapshot import code_digest

        if place.rank == 0 and self.trains:
            warn_without_scontrol(cluster)
            check_run_folder(Path(self.run_folder), cluster.min_free_gb)
            claim(self.journal, start, list(place.nodes), place.world, cluster.max_failures)
        report = Report(
            rank=place.rank,
            node=place.node,
            code=code_digest(),
            wrong=check_node(cluster, place) if place.local_rank == 0 else [],
            lacks=lacking(config, Path(self.run_folder)) if place.local_rank == 0 else {},
        )
        meeting = Meeting(meeting_folder(logs, start.count), place, cluster.meeting_seconds, cluster.cpus)
        port = meeting.attend(report, port_seed=str(start))
        os.environ.update(rank_environment(place, port, cluster))

    def _run(self, config: Any) -> Any:
        """Call the job's function. Returns what it returns."""
        function = resolve(self.function)
        if self.trains and config.evals.every and config.cluster.kind == "slurm":
            from launch.slurm.evals import EvalSubmitter

            return function(config, EvalSubmitter(config.evals))
        return function(config)


def slurm_start() -> Start:
    """The start of the Slurm job that this process belongs to."""
    from submitit.slurm.slurm import SlurmJobEnvironment

    return Start(SlurmJobEnvironment().job_id, int(os.environ.get(RESTARTS_VARIABLE, 0)))


def log_folder(job: Job) -> Path:
    """Folder of a job's logs, with submitit's placeholder for the job's id.

    `<run>/logs/<job id>` belongs to training; an evaluation of the run has `<run>/evals/logs/<job id>`.
    """
    run = Path(job.run_folder).absolute()
    return (run / "evals" if job.command == "evaluate" else run) / "logs" / "%j"


def _leave(signum: int, frame: FrameType | None) -> None:
    """Where nobody handles a stop signal there is nothing to save: it ends the process."""
    sys.exit(128 + signum)


def _unfinished(config: Any, outcome: Any) -> bool:
    """Whether training left before its last step. `outcome` is what the job's function returned."""
    from mmfm.training.checkpoint import read_position

    if not isinstance(config, PretrainConfig):
        return False
    return outcome is None or read_position(outcome).step < config.train.steps


def _leave_failure(logs: Path, place: Place, start: Start, kind: str, error: Exception) -> None:
    """Say why this process fails, where the launcher looks. Its log says so too, if the folder is lost."""
    failure = Failure(
        rank=place.rank,
        kind=kind,
        message=str(error),
        type=type(error).__name__,
        node=place.node,
        bad_nodes=error.nodes if isinstance(error, BadNodeError) else [],
    )
    try:
        leave(logs, start.count, failure)
    except OSError as lost:
        print(f"mmfm: {failure}\nmmfm: that is not in {logs}: {lost}", file=sys.stderr, flush=True)
