"""What is known of each stage of a pipeline: a plan that all its jobs read, and a record for each stage.

<pipeline>/stages/
  plan.json       the stages: command, config, what they wait for, where they log
  NAME.jsonl      what has happened to one stage, appended by whoever saw it: this command, or its job
  NAME/           logs and code of a stage that has no run folder of its own

    submitted   after (jobs)
    running     node
    part        node: a job that does a part of the stage runs, before the one that was submitted for it
    requeued    Slurm starts its job again
    finished    fingerprint (of config and inputs), seconds
    stopped, failed, cancelled    cause

Each stage has a file of its own, so jobs that run at the same time never write the same one.
"""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from launch.local.supervise import StoppedError
from launch.pipelines.stages import missing_part, output_digest
from launch.recipes.commands import config_of
from mmfm.errors import ConfigError
from mmfm.files import write_atomically
from mmfm.training.journal import Journal, Start

FOLDER = "stages"
PLAN_NAME = "plan.json"
HERE = Start("here")  # a stage that runs in this process belongs to no job
NOT_RUN = "not run: "  # begins the cause of a stage that a stage before it kept from running
OPEN = ("submitted", "running", "requeued")  # what a stage is while nobody knows how it ended


@dataclass(frozen=True)
class Stage:
    """A stage with its merged config. Those of one `each` share `group`; else it is the name."""

    name: str
    command: str
    config: Any
    after: tuple[str, ...] = ()
    group: str = ""
    limit: int = 0  # how many of the group run at once; 0 is all
    logs: str = ""  # folder of its job's logs, with %j for the job
    values: Mapping[str, str] = field(default_factory=dict)  # what sets it apart from others of a sweep

    def fingerprint(self, inputs: Mapping[str, str]) -> str:
        """Digest of all that decides what comes out: the config, and the outputs of the stages before it."""
        values = asdict(self.config)
        values.pop("cluster", None)  # where it runs does not change what comes out
        text = json.dumps([self.command, values, dict(inputs)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Status:
    """How a stage stands: the newest event of its record ("" before the first), and its values."""

    name: str = ""
    job: str = ""
    cause: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Record:
    """The record of one stage."""

    path: Path

    @property
    def journal(self) -> Journal:
        return Journal(self.path)

    @property
    def status(self) -> Status:
        """How the stage stands. A job may say that it runs before its submission is written down."""
        newest = Status()
        seen: set[str] = set()
        for event in self.journal.events():
            if event.name == "part":
                newest = replace(newest, name="running") if newest.name in OPEN else newest
                continue
            if event.name == "submitted" and event.start.job in seen:
                continue
            seen.add(event.start.job)
            texts = {key: str(event.values.get(key, "")) for key in ("cause", "fingerprint")}
            newest = Status(event.name, event.start.job, **texts)
        return newest

    def has_run(self, job: str) -> bool:
        """Whether a job of this stage has begun."""
        return any(event.name == "running" and event.start.job == job for event in self.journal.events())

    def began(self) -> float:
        """When the stage was started last, in seconds since the epoch; 0 if it never was."""
        return max((event.time for event in self.journal.events() if event.name == "running"), default=0.0)

    def note(self, name: str, start: Start = HERE, **values: Any) -> None:
        """Append one event."""
        self.journal.append(name, start, **values)


@dataclass(frozen=True)
class Records:
    """The stages of the pipeline in `folder`, and their records."""

    folder: Path

    def __getitem__(self, name: str) -> Record:
        return Record(self.folder / FOLDER / f"{name}.jsonl")

    @property
    def plan(self) -> Path:
        return self.folder / FOLDER / PLAN_NAME

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """The stages as they were planned last. Raises `ConfigError` if nothing was."""
        try:
            entries = json.loads(self.plan.read_text())
        except FileNotFoundError as error:
            raise ConfigError(f"{self.folder} holds no pipeline or sweep: no {FOLDER}/{PLAN_NAME}") from error
        return {entry["name"]: _read_stage(entry) for entry in entries}

    def write_plan(self, stages: Iterable[Stage]) -> None:
        """Write down the stages, for their jobs and for whoever asks how they get on."""
        entries = [asdict(stage) for stage in stages]
        write_atomically(self.plan, json.dumps(entries, indent=1) + "\n")

    def fingerprint(self, stage: Stage) -> str:
        """The stage's digest, with its inputs as they are now."""
        before = [self.stages[name] for name in stage.after]
        return stage.fingerprint({one.name: output_digest(one.command, one.config) for one in before})

    def is_finished(self, stage: Stage) -> bool:
        """Whether the stage was finished with this config and these inputs, and its output is there."""
        status = self[stage.name].status
        return (
            status.name == "finished"
            and status.fingerprint == self.fingerprint(stage)
            and not missing_part(stage.command, stage.config)
        )

    def finish(self, stage: Stage, start: Start = HERE) -> None:
        """Write down that a stage has come to its end."""
        record = self[stage.name]
        seconds = round(time.time() - record.began(), 1)
        record.note("finished", start, fingerprint=self.fingerprint(stage), seconds=seconds)

    @contextmanager
    def running_here(self, stage: Stage) -> Iterator[None]:
        """Write down how a stage goes that the block runs."""
        record = self[stage.name]
        record.note("running", node=socket.gethostname())
        try:
            yield
        except (KeyboardInterrupt, StoppedError) as error:
            record.note("stopped", cause=str(error) or "stopped by Ctrl-C")
            raise
        except BaseException as error:
            record.note("failed", cause=str(error) or type(error).__name__)
            raise
        self.finish(stage)

    def cancel_after(self, name: str, cause: str) -> None:
        """Write down that what waits for a stage, directly or not, is not run."""
        for stage in self.stages.values():
            status = self[stage.name].status
            if name in stage.after and status.name == "submitted":
                self[stage.name].note("cancelled", Start(status.job), cause=NOT_RUN + cause)
                self.cancel_after(stage.name, cause)


def table(records: Records) -> Table:
    """The stages for people: how each stands, in which job, and why it is not finished."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("stage", "command", "state", "job", "cause"):
        shown.add_column(name, no_wrap=name == "stage")
    for stage in records.stages.values():
        status = records[stage.name].status
        job = "" if status.job == HERE.job else status.job
        shown.add_row(stage.name, stage.command, status.name or "not begun", job, escape(status.cause))
    return shown


def _read_stage(entry: dict[str, Any]) -> Stage:
    config = config_of(entry["command"], entry["config"])
    return Stage(**{**entry, "config": config, "after": tuple(entry["after"])})
