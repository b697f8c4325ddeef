"""The runs of a scaling benchmark: planned from one recipe, started, disturbed once each, waited for.

Halfway each run is told to save and leave, as before a time limit, and starts again: on Slurm by its own
requeueing, here by being started once more. The same benchmark started again goes on with what is there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from launch.checks.preflight import check
from launch.recipes.commands import check_required, load_config
from launch.recipes.overrides import to_words
from launch.run import run
from launch.scaling.measures import Size
from launch.slurm.queue import UNKNOWN, JobState, job_states, signal_job
from launch.watching.chronicle import Chronicle
from launch.watching.runjobs import RunJobs
from mmfm.config.load import parse_overrides
from mmfm.config.schema import PretrainConfig
from mmfm.errors import ConfigError, DataError, UserError
from mmfm.progress import say
from mmfm.reports.runs import find_runs
from mmfm.training.runfolder import RunFolder

STEPS = 100  # of each run, unless the command says otherwise: recipes are meant for weeks
REPORTS, SAVES = 20, 4  # in each run
POLL_SECONDS = 1.0
QUEUE_SECONDS = 10.0  # between two questions to Slurm
GONE_AFTER = 3  # answers in a row that a job is gone before it is believed: a requeue has short gaps
CHILD = """
import signal, sys
from launch.start.lifeline import end_with_parent
end_with_parent(signal.SIGTERM)
from launch.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Plan:
    """What is to be run: the folder of the benchmark, and for each size its overrides and its config."""

    recipe: str
    folder: Path
    mode: str
    trials: list[tuple[Size, list[str], PretrainConfig]]

    @classmethod
    def of(cls, recipe: str, words: Sequence[str], mode: str) -> Plan:
        """Read the recipe with overrides `words`, among them nodes=1,2,4 or processes=1,2,4.

        `mode`: weak gives every process the batch that it has in the smallest run; strong leaves the global
        batch as it is. All configs are checked. Raises `ConfigError`, as loading and checking do.
        """
        key, counts, words = split_sizes(words)
        given = parse_overrides(words)
        base: PretrainConfig = load_config("pretrain", recipe, [f"train.steps={STEPS}", *words])
        folder = Path(base.run.root) / (
            base.run.name if "name" in given.get("run", {}) else f"scaling-{time.strftime('%Y-%m-%d')}"
        )
        steps = base.train.steps
        lead = [
            f"train.steps={steps}",
            f"log.every={max(1, steps // REPORTS)}",
            f"checkpoint.every={max(1, steps // SAVES)}",
            "checkpoint.keep=1",
            *words,
            "cluster.min_nodes=0",  # a size is a size
            "cluster.chain=1",
            "checkpoint.keep_every=0",
            "evals.every=0",
            *to_words({"run": {"root": str(folder)}}),  # quoted: a folder may look like a number
        ]
        trials = []
        for count in counts:
            grown = base.train.global_batch
            if mode == "weak":  # the smallest, which is checked first, must be able to share its batch evenly
                grown = grown * count // counts[0]
            own = [*lead, f"cluster.{key}={count}", f"run.name={key}-{count}", f"train.global_batch={grown}"]
            own += _gpus(base, count) if key == "processes" else []
            config = load_config("pretrain", recipe, own)
            check_required("pretrain", config)
            check(config)
            cluster = config.cluster
            trials.append((Size(cluster.nodes, cluster.processes, grown), own, config))
        return cls(recipe, folder, mode, trials)

    @property
    def folders(self) -> list[tuple[Size, Path]]:
        """Each size with its run folder."""
        return [(size, RunFolder.of(config.run).path) for size, _, config in self.trials]


def split_sizes(words: Sequence[str]) -> tuple[str, list[int], list[str]]:
    """Take nodes=1,2,4 or processes=1,2,4 out of `words`: which of them, the ascending counts, the rest.

    Raises `ConfigError` unless there is exactly one of them, with whole numbers from 1 on.
    """
    own = [word for word in words if word.startswith(("nodes=", "processes="))]
    rest = [word for word in words if word not in own]
    if len(own) != 1:
        raise ConfigError("say which sizes to measure, once: nodes=1,2,4 or (on one machine) processes=1,2")
    key, _, text = own[0].partition("=")
    try:
        counts = sorted({int(part) for part in text.strip("[]").split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1:
        raise ConfigError(f"{own[0]}: give whole numbers from 1 on, as in {key}=1,2,4")
    return key, counts, rest


def run_plan(plan: Plan, together: bool) -> None:
    """Run every size to its end, one after another, or all at once where they do not share a machine.

    A size that fails is told of and passed over: the others are worth their numbers all the same.
    """
    local = plan.trials[0][2].cluster.kind == "local"
    if together and local:
        raise ConfigError("--together is for clusters: on one machine the runs would slow each other down")
    trials: list[Trial] = [
        LocalTrial(size, config, ["pretrain", plan.recipe, *words]) if local else SlurmTrial(size, config)
        for size, words, config in plan.trials
    ]
    waves = [trials] if together else [[trial] for trial in trials]
    for wave in waves:
        open_trials = [trial for trial in wave if _attempt(trial, trial.start)]
        while open_trials:
            time.sleep(POLL_SECONDS)
            open_trials = [trial for trial in open_trials if _attempt(trial, trial.poll)]


class Trial(Protocol):
    """One run of the benchmark. Both methods tell whether there is still something to wait for."""

    size: Size

    def start(self) -> bool:
        """Begin, or go on with what an earlier call left."""

    def poll(self) -> bool:
        """Look after it."""


@dataclass
class LocalTrial:
    """A run in processes of this machine, by the command that a person would give."""

    size: Size
    config: PretrainConfig
    words: list[str]
    process: subprocess.Popen[bytes] | None = None
    asked: bool = False
    starts: int = 0

    def start(self) -> bool:
        """Start it, unless it is done."""
        if Chronicle.of(RunFolder.of(self.config.run).path).done:
            say(f"{self.size}: done already")
            return False
        self.starts += 1
        self.process = subprocess.Popen([sys.executable, "-c", CHILD, *self.words])
        return True

    def poll(self) -> bool:
        """Stop it halfway; start it again once it has left. Raises `UserError` if it ends otherwise."""
        assert self.process is not None, "start comes first"
        code = self.process.poll()
        if code is None:
            if not self.asked and is_halfway(self.config):
                self.asked = True
                self.process.terminate()
            return True
        if Chronicle.of(RunFolder.of(self.config.run).path).done:
            return False
        if not self.asked or self.starts > 1:
            raise UserError(f"ended with exit code {code}")
        return self.start()


@dataclass
class SlurmTrial:
    """A run submitted to Slurm."""

    size: Size
    config: PretrainConfig
    job: str = ""
    asked: bool = False
    told: str = ""  # state that was last told of
    gone: int = 0  # answers in a row that the job is gone
    next_question: float = field(default_factory=time.monotonic)

    def start(self) -> bool:
        """Submit it, unless it is done or in the queue."""
        folder = RunFolder.of(self.config.run).path
        if Chronicle.of(folder).done:
            say(f"{self.size}: done already")
            return False
        self.job = _newest_job(folder)
        if self.job and _state(self.job).queued:
            say(f"{self.size}: going on with job {self.job}")
            return True
        run("pretrain", self.config)
        self.job = _newest_job(folder)
        return True

    def poll(self) -> bool:
        """Ask it to save and requeue itself halfway. Raises `UserError` if it ends before its last step."""
        if Chronicle.of(RunFolder.of(self.config.run).path).done:
            return False
        if not self.asked and is_halfway(self.config):
            self.asked = True
            _attempt(self, lambda: signal_job(self.job, "USR2"))
        if time.monotonic() < self.next_question:
            return True
        self.next_question = time.monotonic() + QUEUE_SECONDS
        state = _state(self.job)
        words = f"job {self.job} {state.state}{f': {state.reason}' if state.reason else ''}"
        if words != self.told:
            self.told = words
            say(f"{self.size}: {words}")
        self.gone = 0 if state.queued else self.gone + 1
        if self.gone < GONE_AFTER:
            return True
        cause = Chronicle.of(RunFolder.of(self.config.run).path).last_cause
        raise UserError(f"{words}{f': {cause}' if cause else ''}")


def is_halfway(config: PretrainConfig) -> bool:
    """Whether a run has done half of its steps and was not told to leave before."""
    folder = RunFolder.of(config.run)
    if not folder.metrics.is_file() or any(event.name == "left" for event in folder.journal.events()):
        return False
    found = find_runs(folder.path)
    steps = found[0].metrics[-1]["step"] if found and found[0].metrics else 0
    return bool(config.train.steps // 2 <= steps < config.train.steps)


def _state(job: str) -> JobState:
    """The state of a job. While Slurm cannot be asked, it is taken to be in the queue."""
    try:
        return job_states([job])[job]
    except UserError as error:
        return JobState(UNKNOWN, reason=str(error), queued=True)


def _attempt(trial: Trial, action: Callable[[], object]) -> bool:
    """Whether the trial goes on. One that cannot is told of."""
    try:
        return bool(action())
    except UserError as error:
        say(f"{trial.size}: {error}")
        return False


def _gpus(base: PretrainConfig, processes: int) -> list[str]:
    """Each process has a GPU, if they have any."""
    kind, colon, _ = base.cluster.gpus.rpartition(":")
    return [f"cluster.gpus='{kind}{colon}{processes}'"] if base.cluster.gpus else []


def _newest_job(folder: Path) -> str:
    try:
        return RunJobs.of(folder).names[-1]
    except DataError:
        return ""
