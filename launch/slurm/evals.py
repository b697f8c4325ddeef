"""Evaluations that a training job submits while it goes on, as jobs of their own (`evals` in its recipe).

What they run is settled when the training job is submitted; the job fills in the checkpoint. `python -m
launch.slurm.evals` submits one, with the config as JSON on its stdin, outside the training process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from launch.recipes.commands import config_of, load_config, make_job
from launch.recipes.overrides import expand_cluster, one_process, profile_words, to_words
from launch.slurm.script import check_slurm, submit_slurm
from launch.start.environment import OF_A_RANK
from mmfm.config.schema import EvalsConfig, EvaluateConfig, PretrainConfig
from mmfm.errors import ConfigError
from mmfm.files import write_atomically
from mmfm.progress import say

SUBMIT_SECONDS = 300  # for sbatch on a busy cluster
# What an enclosing job says about itself, its ranks and its devices. Where Slurm is found stays.
OF_THE_JOB = re.compile(
    rf"({OF_A_RANK}|SLURM_(?!CONF$).*|SLURMD_.*|SRUN_.*|SBATCH_.*|PMI.*|TMPDIR"
    r"|(CUDA|ROCR|HIP)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK)$"
)


def settled(config: PretrainConfig) -> EvalsConfig:
    """`config.evals` with everything but the checkpoint in `set`, so that no file has to be read later.

    Raises `ConfigError` for a recipe or profile that cannot be used, before the run waits in a queue.
    """
    evals = config.evals
    if not evals.every or config.cluster.kind != "slurm":
        return evals
    own = {"cluster": one_process(asdict(config.cluster), gpu=True)}
    given = to_words({"checkpoint": "filled-in", "shards": config.data.shards})
    run = to_words({"run": asdict(config.run)})
    try:
        place = profile_words(evals.cluster) if evals.cluster else to_words(own)
        words = [*place, *given, *expand_cluster(to_words(evals.set)), *run]
        full: EvaluateConfig = load_config("evaluate", evals.recipe or None, words)
        if full.cluster.kind != "slurm":
            raise ConfigError(f"cluster={evals.cluster} is a profile of this machine, and they run on Slurm")
        check_slurm(full.cluster)
    except ConfigError as error:
        raise ConfigError(f"evals: {error}") from error
    return replace(evals, recipe="", cluster="", set=asdict(full))


class EvalSubmitter:
    """Called after each save that stays; submits an evaluation of every `evals.every`-th step.

    What was submitted leaves <run>/evals/submitted/STEP, with the job. So a checkpoint whose submission was
    cut short, by a requeue or a controller that does not answer, gets another after a later save.
    """

    def __init__(self, evals: EvalsConfig) -> None:
        self.evals = evals
        self._trying: set[str] = set()

    def __call__(self, checkpoint: Path, step: int) -> None:
        """Submit what is due, of the checkpoints there are. Returns at once; errors are said."""
        for found in sorted(checkpoint.absolute().parent.glob("step_*")):
            due = int(found.name.removeprefix("step_")) % self.evals.every == 0
            if not due or found.name in self._trying or self._mark(found).exists():
                continue
            self._trying.add(found.name)
            # no daemon: the evaluation of the last checkpoint must not be lost
            threading.Thread(target=self._submit, args=(found,), name="submit-evaluation").start()

    def _mark(self, checkpoint: Path) -> Path:
        run = self.evals.set["run"]
        return Path(run["root"]) / run["name"] / "evals" / "submitted" / checkpoint.name

    def _submit(self, checkpoint: Path) -> None:
        """Submit one evaluation. Says how it went."""
        config: EvaluateConfig = config_of("evaluate", self.evals.set)
        config.checkpoint = str(checkpoint)
        try:
            job = submit_apart(config)
        except (OSError, subprocess.SubprocessError) as error:
            say(f"warning: the evaluation of {checkpoint.name} is not submitted: {error}")
        else:
            write_atomically(self._mark(checkpoint), f"{job}\n")
            say(f"evaluation of {checkpoint.name} submitted as Slurm job {job}")
        finally:
            self._trying.discard(checkpoint.name)


def submit_apart(config: EvaluateConfig) -> str:
    """Submit from a process of its own, whose environment a job can inherit, and return the job.

    Raises `OSError` or `subprocess.SubprocessError` with the reason.
    """
    done = subprocess.run(
        [sys.executable, "-m", "launch.slurm.evals"],
        input=json.dumps(asdict(config)),
        env=fresh_environment(_first_environment()),
        capture_output=True,
        text=True,
        timeout=SUBMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise subprocess.SubprocessError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout.strip()


def fresh_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what belongs to the job that it is of."""
    return {name: value for name, value in environment.items() if not OF_THE_JOB.match(name)}


def _first_environment() -> dict[str, str]:
    """This process's environment as it began: since then ranks, ports and caches were added."""
    words = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    return {name: value for name, found, value in (word.partition("=") for word in words) if found}


def main() -> int:
    """Submit the evaluation whose config is on stdin, and print its job."""
    config: EvaluateConfig = config_of("evaluate", json.load(sys.stdin))
    print(submit_slurm(make_job("evaluate", config), config.cluster))
    return 0


if __name__ == "__main__":
    sys.exit(main())
