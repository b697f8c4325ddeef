"""The job: what every process of a run executes, on this machine and on a cluster alike."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from launch.lifeline import end_with_parent
from mmfm.errors import USER_ERROR_EXIT, UserError


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
    port: int = 0  # of the meeting point; 0 derives it from the job's id

    def __call__(self) -> None:
        """Run this process's share. The environment is set before anything heavy is imported."""
        from submitit import JobEnvironment

        from launch.environment import Place, master_port, rank_environment

        here = JobEnvironment()
        if here.cluster == "local":  # on a cluster, Slurm sees to that
            end_with_parent(signal.SIGKILL)
        place = Place(
            rank=here.global_rank,
            world=here.num_tasks,
            local_rank=here.local_rank,
            local_world=here.num_tasks // here.num_nodes,
            master=here.hostnames[0] if here.num_nodes > 1 else "127.0.0.1",
        )
        os.environ.update(rank_environment(place, self.port or master_port(here.job_id)))
        signal.signal(signal.SIGTERM, _leave)
        if here.cluster == "slurm":
            _hold(signal.SIGUSR2)
        try:
            config = self.typed_config()
            outcome = resolve(self.function)(config)
        except UserError as error:
            _leave_error(here.paths.folder, place.rank, error)
            print(f"mmfm: error: {error}", flush=True)  # into the log; the launcher shows it to people
            sys.exit(USER_ERROR_EXIT)
        except Exception as error:
            _leave_error(here.paths.folder, place.rank, error)
            raise
        if here.cluster == "slurm" and _unfinished(config, outcome):
            from launch.requeue import requeue

            requeue(place.rank)

    def typed_config(self) -> Any:
        """The config as the dataclass that the function takes."""
        from omegaconf import OmegaConf

        from mmfm.config import load

        return load(resolve(self.schema), base=lambda _: OmegaConf.create(self.config))


def error_file(folder: Path, rank: int) -> Path:
    """Where a process that fails leaves its reason, below the job's log folder."""
    return folder / f"error_{rank}.json"


def _leave(signum: int, frame: FrameType | None) -> None:
    """Until training has a handler of its own there is nothing to save: a stop signal ends the process."""
    sys.exit(128 + signum)


def _hold(signum: signal.Signals) -> None:
    """Keep a request to save and leave until training has a handler for it, and ignore it after training."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    signal.signal(signum, lambda *_: None)


def _unfinished(config: Any, outcome: Any) -> bool:
    """Whether training left before its last step. `outcome` is what the job's function returned."""
    from mmfm.config.schema import PretrainConfig
    from mmfm.training.checkpoint import read_position

    return isinstance(config, PretrainConfig) and read_position(outcome).step < config.train.steps


def _leave_error(folder: Path, rank: int, error: Exception) -> None:
    reason = {
        "rank": rank,
        "time": time.time(),
        "user": isinstance(error, UserError),
        "type": type(error).__name__,
        "message": str(error),
    }
    error_file(folder, rank).write_text(json.dumps(reason))
