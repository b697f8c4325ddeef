"""A run's journal, told to people: its starts, its failures, why it last stopped, and each event in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.watching.wording import host_names
from mmfm.training.journal import Event, Start
from mmfm.training.runfolder import RunFolder

SETTLED = ("left", "done", "failed", "given_up")  # events that say how a start ended
CAUSES = ("failed", "given_up", "save_failed", "left")


@dataclass(frozen=True)
class Chronicle:
    """What the journal of a run tells, oldest event first."""

    events: list[Event]

    @classmethod
    def of(cls, run: Path) -> Chronicle:
        """The chronicle of the run in a folder; empty where nothing has been written down."""
        return cls(RunFolder(run).journal.events())

    @property
    def jobs(self) -> list[str]:
        """The jobs that the journal knows; the one that something happened to last comes last."""
        return list(dict.fromkeys(event.start.job for event in reversed(self.events)))[::-1]

    @property
    def starts(self) -> list[Event]:
        """The starts, each with its host names and its number of processes."""
        return [event for event in self.events if event.name == "start"]

    @property
    def failures(self) -> int:
        """How many starts failed over the whole run, those that ended without a word among them."""
        failed = {event.start for event in self.events if event.name == "failed"}
        return len(failed | set(self._lost()))

    @property
    def done(self) -> bool:
        """Whether the last step has been saved."""
        return any(event.name == "done" for event in self.events)

    @property
    def given_up(self) -> bool:
        """Whether the launcher gave up after too many failures, and nothing was started since."""
        telling = [event.name for event in self.events if event.name in ("submitted", "start", "given_up")]
        return telling[-1:] == ["given_up"]

    def training(self, start: Start) -> bool:
        """Whether a start has done a step."""
        return any(event.name == "stepped" and event.start == start for event in self.events)

    @property
    def last_cause(self) -> str:
        """Which start last failed, left or could not save, and why; "" if none did, or the run is done."""
        telling: Event | None = None
        lost = self._lost()
        for event in self.events:
            if event.name == "done" or (event.name == "saved" and telling and telling.name == "save_failed"):
                telling = None
            elif event.name in CAUSES or (event.name == "start" and event.start in lost):
                telling = event
        return f"start {telling.start.count + 1}: {_cause(telling)}" if telling else ""

    def told(self) -> Iterator[str]:
        """A line for each event: when, which start of which job, what."""
        for event in self.events:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
            who = f"job {event.start.job}" if event.name == "submitted" else str(event.start)
            yield f"{when}  {who}: {in_words(event)}"

    def _lost(self) -> list[Start]:
        """Starts that another one followed though they never said that they had ended."""
        settled = {event.start for event in self.events if event.name in SETTLED}
        return [event.start for event in self.starts[:-1] if event.start not in settled]


def in_words(event: Event) -> str:
    """What happened, in words; an event that we do not know as it stands."""
    values = event.values
    cause = values.get("cause", "?")
    match event.name:
        case "submitted":
            return f"submitted for {_hosts(values)}, {values.get('processes', '?')} processes"
        case "start":
            return f"started on {_hosts(values)}, {values.get('processes', '?')} processes"
        case "ready":
            return _ready(values)
        case "stepped":
            return f"first step of this start done: {_step(values)}"
        case "saved":
            took = f" in {values['seconds']:.1f} s" if "seconds" in values else ""
            return f"saved {_step(values)}{took}"
        case "save_failed":
            return f"could not save {_step(values)}: {cause}"
        case "left":
            when = f"after {_step(values)}, which is saved" if "step" in values else "before its first step"
            return f"left {when}: {cause}"
        case "done":
            return f"done with {_step(values)}, the last"
        case "failed":
            return f"failed ({_who(values)}): {cause}"
        case "requeued":
            excluded = values.get("excluded")
            return f"requeued without {host_names(excluded)}" if excluded else "requeued"
        case "given_up":
            return f"given up: {cause}"
    return f"{event.name} {values}"


def _cause(event: Event) -> str:
    """Why a start stopped, or could not save, in a line."""
    first = str(event.values.get("cause", "")).strip().partition("\n")[0]
    match event.name:
        case "start":
            return f"ended without a word on {_hosts(event.values)}"
        case "save_failed":
            return f"could not save: {first}"
        case "left":
            return f"saved and left: {first}" if "step" in event.values else f"left early: {first}"
    return first


def _hosts(values: dict[str, Any]) -> str:
    """The nodes of an event: their names, or their number."""
    nodes = values.get("nodes", "?")
    if isinstance(nodes, list):
        return host_names(nodes)
    return f"{nodes} node{'' if nodes == 1 else 's'}"


def _step(values: dict[str, Any]) -> str:
    return f"step {values.get('step', '?')}"


def _ready(values: dict[str, Any]) -> str:
    text = f"ready to go on after {_step(values)}" if values.get("step") else "ready to begin"
    if values.get("allreduce_gbps"):
        text += f"; all-reduce {values['allreduce_gbps']:.2f} GB/s, {values.get('allreduce_ms', 0):.1f} ms"
    return text


def _who(values: dict[str, Any]) -> str:
    """The kind of a failure, and which ranks and nodes it is about, as far as known."""
    parts = [str(values.get("kind", "?"))]
    if values.get("ranks"):
        parts.append(f"rank {', '.join(map(str, values['ranks']))}")
    if values.get("nodes"):
        parts.append(f"on {_hosts(values)}")
    return ", ".join(parts)
