"""Evaluations that a training job submits while it goes on, as jobs of their own (`evals` in its recipe).

What they run is settled when the training job is submitted; the job fills in the checkpoint. `python -m
launch.evals` submits one, with the config as JSON on its stdin, outside the training process.
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

from launch.commands import config_of, load_config, make_job
from launch.overrides import expand_cluster, one_process, profile_words, to_words
from launch.slurm import check_slurm, submit_slurm
from mmfm.config.schema import EvalsConfig, EvaluateConfig, PretrainConfig
from mmfm.errors import ConfigError
from mmfm.evaluation.place import suite_path
from mmfm.progress import say

SUBMIT_SECONDS = 300  # for sbatch on a busy cluster
# What an enclosing job says about itself, its ranks and its devices. Where Slurm is found stays.
OF_THE_JOB = re.compile(
    r"(SLURM_(?!CONF$).*|SLURMD_.*|SRUN_.*|SBATCH_.*|SUBMITIT_.*|PMI.*|MMFM_(JOB|START|LOGS)|TMPDIR"
    r"|(LOCAL_)?RANK|(LOCAL_)?WORLD_SIZE|MASTER_(ADDR|PORT)"
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
    given = ["checkpoint=filled-in", f"shards={config.data.shards}"]
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
    """Called after each save that stays; submits an evaluation at every `evals.every`-th step."""

    def __init__(self, evals: EvalsConfig) -> None:
        self.evals = evals

    def __call__(self, checkpoint: Path, step: int) -> None:
        """Submit the evaluation of a checkpoint if it is its turn. Returns at once; errors are said."""
        if step % self.evals.every:
            return
        config: EvaluateConfig = config_of("evaluate", self.evals.set)
        config.checkpoint = str(checkpoint.absolute())
        if all(path.is_file() for path in _results(config, step)):
            return  # of an earlier start
        # a thread that is not a daemon: the job's last evaluation must not be lost
        threading.Thread(target=_submit_apart, args=(config, step), name="submit-evaluation").start()


def fresh_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what belongs to the job that it is of."""
    return {name: value for name, value in environment.items() if not OF_THE_JOB.match(name)}


def _submit_apart(config: EvaluateConfig, step: int) -> None:
    """Submit from a process of its own, whose environment a job can inherit. Says how it went."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "launch.evals"],
            input=json.dumps(asdict(config)),
            env=fresh_environment(_first_environment()),
            capture_output=True,
            text=True,
            timeout=SUBMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"warning: the evaluation of step {step} is not submitted: {error}")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        say(f"warning: the evaluation of step {step} is not submitted: {last}")
    else:
        say(f"evaluation of step {step} submitted as Slurm job {done.stdout.strip()}")


def _first_environment() -> dict[str, str]:
    """This process's environment as it began: since then ranks, ports and caches were added."""
    words = Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape").split("\0")
    return {name: value for name, found, value in (word.partition("=") for word in words) if found}


def _results(config: EvaluateConfig, step: int) -> list[Path]:
    return [suite_path(config, step, suite) for suite in config.suites]


def main() -> int:
    """Submit the evaluation whose config is on stdin, and print its job."""
    config: EvaluateConfig = config_of("evaluate", json.load(sys.stdin))
    print(submit_slurm(make_job("evaluate", config), config.cluster))
    return 0


if __name__ == "__main__":
    sys.exit(main())
