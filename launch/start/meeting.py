"""The meeting: before anything heavy is imported, all processes of a start find each other in the run folder.

    <logs>/meeting_<start>/<rank>.json    each process: its node, its clock, its cores, what is wrong there
    <logs>/meeting_<start>/verdict.json   rank 0, when all are there: the port, or what is wrong

A process that does not come, or a node that is not fit, is named by rank 0 and by all others alike, instead
of a hang of all of them in the process group.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from launch.start.environment import Place, free_port
from mmfm.errors import UserError
from mmfm.files import write_atomically
from mmfm.training.failure import BadNodeError

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0  # that others wait for rank 0 longer than rank 0 waits for them
CLOCK_SECONDS = 30.0  # that clocks may differ
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
VERDICT = "verdict.json"


def meeting_folder(logs: Path, start: int) -> Path:
    """Where the processes of a job's start number `start` meet."""
    return logs / f"meeting_{start}"


def attendance(folder: Path) -> set[int]:
    """The ranks that came to a meeting."""
    return {int(path.stem) for path in folder.glob("*.json") if path.stem.isdigit()}


@dataclass(frozen=True)
class Report:
    """What one process brings to the meeting."""

    rank: int
    node: str
    code: str = ""  # digest of the code that it runs
    wrong: list[str] = field(default_factory=list)  # with its node; only one process of each node looks
    lacks: dict[str, str] = field(default_factory=dict)  # setting that names it -> why, as of `lacking`
    cores: list[int] = field(default_factory=lambda: sorted(os.sched_getaffinity(0)))
    machine_cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    time: float = field(default_factory=time.time)
    ahead: float = 0.0  # of the file server's clock, in seconds; filled in by who reads it


@dataclass(frozen=True)
class Verdict:
    """What rank 0 made of the reports: where to meet, or what is wrong with which node, or the recipe."""

    port: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    mistake: str = ""


@dataclass(frozen=True)
class Meeting:
    """One start's meeting. `seconds` is how long rank 0 waits for all; `cpus` what each process asked for."""

    folder: Path
    place: Place
    seconds: float
    cpus: int = 0

    def attend(self, report: Report, port_seed: str) -> int:
        """Meet the others and return the port of the process group.

        Raises, the same in all processes, `BadNodeError` if one is missing or a node is not fit, and
        `UserError` for what the recipe names and no node has.
        """
        try:
            write_atomically(self.folder / f"{report.rank}.json", json.dumps(asdict(report)))
        except OSError as error:
            guilty = [] if error.errno in DISK_FULL else [report.node]  # the folder is everybody's
            raise BadNodeError(f"{report.node} cannot write to the run folder: {error}", guilty) from error
        if report.rank == 0:
            verdict = self.judge(port_seed)
            write_atomically(self.folder / VERDICT, json.dumps(asdict(verdict)))
        else:
            verdict = self.await_verdict()
        if verdict.mistake:
            raise UserError(verdict.mistake)
        if verdict.wrong:
            told = "; ".join(f"{node}: {', '.join(what)}" for node, what in verdict.wrong.items())
            raise BadNodeError(f"not fit for this job: {told}", list(verdict.wrong))
        return verdict.port

    def judge(self, port_seed: str) -> Verdict:
        """Rank 0 waits for all, then compares what they brought."""
        everyone = set(range(self.place.world))
        self._wait(lambda: attendance(self.folder) >= everyone, self.seconds)
        missing = sorted(everyone - attendance(self.folder))
        if missing:
            return Verdict(wrong=self._missing(missing))
        reports = [self._read(rank) for rank in range(self.place.world)]
        everywhere = {
            setting: why
            for setting, why in reports[0].lacks.items()
            if {report.node for report in reports if setting in report.lacks} >= set(self.place.nodes)
        }
        if everywhere:  # then no other node will have it: it is no node's fault
            told = "; ".join(f"{setting} ({why})" for setting, why in everywhere.items())
            return Verdict(mistake=f"no node of this job has {told}: mend that, or give another")
        wrong: dict[str, list[str]] = {}
        for node, what in self._faults(reports):
            wrong.setdefault(node, []).append(what)
        if wrong:
            return Verdict(wrong=wrong)
        try:
            return Verdict(port=free_port(port_seed))
        except OSError as error:
            return Verdict(wrong={self.place.node: [str(error)]})

    def await_verdict(self) -> Verdict:
        """Wait for rank 0, and then for what it says. Raises `TimeoutError` if it comes and says nothing."""
        if not self._wait(lambda: 0 in attendance(self.folder), self.seconds):
            return Verdict(wrong=self._missing([0]))
        patience = self.seconds + PATIENCE_SECONDS  # rank 0 waits for the others from now on
        if not self._wait(lambda: (self.folder / VERDICT).exists(), patience):
            raise TimeoutError(
                f"rank 0 on {self.place.nodes[0]} said nothing in {self.folder} for {patience:.0f} s"
            )
        return Verdict(**json.loads((self.folder / VERDICT).read_text()))

    def _missing(self, ranks: list[int]) -> dict[str, list[str]]:
        """Who is not there, by node."""
        by_node: dict[str, list[int]] = {}
        for rank in ranks:
            by_node.setdefault(self.place.node_of(rank), []).append(rank)
        return {
            node: [
                f"rank {', '.join(map(str, there))} did not come within {self.seconds:.0f} s "
                f"(cluster.meeting_seconds): does the node see {self.folder}?"
            ]
            for node, there in by_node.items()
        }

    def _faults(self, reports: list[Report]) -> Iterator[tuple[str, str]]:
        """What is wrong with which node."""
        first = reports[0]
        for node in dict.fromkeys(report.node for report in reports):
            there = [report for report in reports if report.node == node]
            for what in (what for report in there for what in report.wrong):
                yield node, what
            for setting, why in (item for report in there for item in report.lacks.items()):
                yield node, f"it does not have {setting} ({why})"
            if any(report.code != first.code for report in there):
                yield node, f"it sees other code than {first.node}: are its files of the run folder old?"
            apart = max((report.ahead - first.ahead for report in there), key=abs)
            if abs(apart) > CLOCK_SECONDS:
                side = "ahead of" if apart > 0 else "behind"
                yield node, f"its clock is {abs(apart):.0f} s {side} {first.node}'s"
            cores = {core for report in there for core in report.cores}
            asked = min(self.cpus * len(there), there[0].machine_cores)
            if len(cores) < asked:
                told = f"its {len(there)} processes may use {len(cores)} cores together, and cluster.cpus="
                yield (
                    node,
                    f"{told}{self.cpus} for each makes {asked}: how does the site bind tasks to cores?",
                )

    def _read(self, rank: int) -> Report:
        """A rank's report. A shared file system stamps files by its own clock: so clocks are compared."""
        path = self.folder / f"{rank}.json"
        values = json.loads(path.read_text())
        return Report(**{**values, "ahead": values["time"] - path.stat().st_mtime})

    def _wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Poll until `ready()`; False after `seconds`."""
        end = time.monotonic() + seconds
        while not ready():
            os.scandir(self.folder).close()  # has a shared file system ask its server for what is new
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        return True
