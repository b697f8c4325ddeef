"""The journal of a run: what has happened to it, over all its starts, one line for each event.

`journal.jsonl` is what `mmfm status` tells, what counts failures, and what keeps a stale process from
writing: the run belongs to the start that claimed it last. Rank 0 of each start writes it, and the launcher.

    submitted   nodes, processes, after           by the launcher: Slurm has taken the job, queued behind the
                                                  job `after` of its chain ("" for none), or it begins here
    start       nodes (host names), processes     the start claims the run; before anything else
    ready       step, allreduce_gbps, allreduce_ms    the process group stands and the state is loaded
    stepped     step                              the first step of this start is done
    saved       step, seconds
    save_failed step, cause
    left        step, cause                       gone before the last step: a signal, a time limit. `step` is
                                                  saved; without one, the start was told before its first step
    done        step                              the last step is done and saved
    failed      cause, kind, ranks, nodes         kind as in `failure.KINDS`
    requeued    excluded (nodes)
    given_up    cause                             too many failures in a row
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mmfm.errors import UserError

JOB_VARIABLE = "MMFM_JOB"  # id of the job, the same over its requeues
COUNT_VARIABLE = "MMFM_START"  # how often the job had been started before
PROGRESS = ("saved", "done", "left")  # at a step above all earlier ones, failures are counted anew


class StaleError(UserError):
    """A later start has taken the run over: this process must not write any more."""


@dataclass(frozen=True)
class Start:
    """One start of a job."""

    job: str
    count: int = 0  # 0 at the first, then 1, 2, ... after each requeue

    @classmethod
    def of_environment(cls) -> Start | None:
        """The start that this process belongs to, as its launcher said; None outside a job."""
        job = os.environ.get(JOB_VARIABLE)
        return cls(job, int(os.environ.get(COUNT_VARIABLE, 0))) if job else None

    def __str__(self) -> str:
        return f"job {self.job}, start {self.count + 1}"


@dataclass(frozen=True)
class Event:
    """One line of the journal. `time` is in seconds since the epoch."""

    name: str
    start: Start
    time: float
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Journal:
    """The journal at `path`. A line is one write at the end, so several processes may write."""

    path: Path

    def append(self, name: str, start: Start, **values: Any) -> None:
        """Write one event, at once and durably."""
        line = {"event": name, "job": start.job, "start": start.count, "time": time.time(), **values}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            before = b"" if _ends_whole(file) else b"\n"
            file.write(before + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> list[Event]:
        """All events, oldest first; a line that a kill cut short is passed over."""
        return list(self._read())

    def claim(self, start: Start, **values: Any) -> None:
        """Take the run for `start`. Raises `StaleError` if a later start of the same job has it."""
        for later in (event.start for event in self._read() if event.name == "start"):
            if later.job == start.job and later.count > start.count:
                raise StaleError(f"{start} comes too late: {later} has had {self.path.parent} already")
        self.append("start", start, **values)

    def owner(self) -> Start | None:
        """The start that claimed the run last; None before the first."""
        claims = [event.start for event in self._read() if event.name == "start"]
        return claims[-1] if claims else None

    def check(self, start: Start) -> None:
        """Call it before anything of the run is written or deleted. Raises `StaleError` if it is not ours."""
        owner = self.owner()
        if owner != start:
            what = f"{owner} has taken {self.path.parent} over" if owner else f"{self.path} is gone"
            raise StaleError(f"{what}: this process ({start}) writes nothing any more")

    def left(self, start: Start | None) -> bool:
        """Whether `start` has been told to leave."""
        return any(event.name == "left" and event.start == start for event in self._read())

    def failures(self) -> list[Event]:
        """The failures since the run last got on, one for each start, oldest first.

        A start that ended without a word, as when its node dies, counts as one: another start follows it. One
        that was told to leave does not. A step that was saved before is no progress: its checkpoint was
        damaged. Whoever submits the run anew may begin again from an earlier step.
        """
        found: dict[Start, Event] = {}
        open_start: Event | None = None
        best = -1  # step
        behind: set[str] = set()  # jobs that go on where another of their chain ended
        for event in self._read():
            if event.name == "submitted" and event.values.get("after"):
                behind.add(event.start.job)
            elif event.name in PROGRESS:
                step = event.values.get("step", -1)
                if step > best:
                    found, best, open_start = {}, step, None
                elif event.name != "saved" and open_start and open_start.start == event.start:
                    open_start = None
            elif event.name == "start":
                if open_start and open_start.start not in found:
                    silent = {"cause": "ended without a word: was its node lost?", "kind": "lost"}
                    found[open_start.start] = Event(
                        "failed", open_start.start, open_start.time, {**silent, **open_start.values}
                    )
                if event.start.count == 0 and event.start.job not in behind:
                    best = -1
                open_start = event
            elif event.name == "failed":
                found[event.start] = event
        return list(found.values())

    def _read(self) -> Iterator[Event]:
        if not self.path.exists():
            return
        for text in self.path.read_text(errors="replace").split("\n"):
            try:
                line = json.loads(text)
                event = Event(
                    line.pop("event"), Start(line.pop("job"), line.pop("start")), line.pop("time"), line
                )
            except (ValueError, KeyError, AttributeError, TypeError):
                continue
            yield event


def _ends_whole(file: IO[bytes]) -> bool:
    """Whether a file is empty or ends with a line's end: a kill or a full disk may have cut the last line."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
