"""A run over four nodes that is preempted, loses a node and ends on two, with the losses of one left alone.

Its picture is docs/pictures/recorded_run.svg: set MMFM_PICTURES to a folder to have it drawn anew there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import training_processes as runs
from recorded_figure import Line, draw, parts_of

from mmfm.training.runfolder import RunFolder

PREEMPT_AT, CUT_AT = 5, 24  # steps
ENDS = ("preempted", "n4 lost, n3 drained")
TOLERANCE = 1e-4  # of a sum over fewer nodes; it is below 1e-6 as a rule


@dataclass
class Recorder:
    """Keeps every line of a run's metrics as it was seen, also those that a later start takes back."""

    run: Any
    seen: dict[float, Line] = field(default_factory=dict)  # by time

    def wait_for(self, ready: Callable[[], bool], what: str) -> None:
        """Look at the metrics again and again until `ready()`."""

        def looked() -> bool:
            self.look()
            return ready()

        self.run.wait_for(looked, what)

    def look(self) -> None:
        """Read the complete lines."""
        path = self.run.folder / "metrics.jsonl"
        for text in path.read_text().split("\n")[:-1] if path.exists() else []:
            line = json.loads(text)
            self.seen[line["time"]] = Line(line["step"], line["loss"], line["time"])

    def newest(self, start: int) -> int:
        """The last step that a start has reported; 0 before it has."""
        begun = [event.time for event in self.run.events("start") if event.start.count == start]
        return max((line.step for line in self.seen.values() if begun and line.time > begun[0]), default=0)


def test_run_is_preempted_loses_a_node_and_ends_on_two_with_the_same_losses(
    breakage: Any, submit: Callable[..., Any], local_run: Path, tmp_path: Path
) -> None:
    where = ["cluster.partition=low", "cluster.min_nodes=2"]
    run = submit(*where, "checkpoint.every=10", nodes=4, processes=1)
    record = Recorder(run)

    record.wait_for(lambda: record.newest(0) >= PREEMPT_AT, "first steps")
    urgent = ("--partition=high", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1")
    breakage.cluster.run("sbatch", *urgent)
    record.wait_for(lambda: record.newest(1) >= CUT_AT, "steps after the preemption")
    breakage.cut("n4")  # its rank lives on, and nobody hears of it
    breakage.cluster.run("scontrol", "update", "NodeName=n3", "State=DRAIN", "Reason=maintenance")
    record.wait_for(lambda: bool(run.events("done")), "end")
    record.wait_for(lambda: run.fact("JobState") == "COMPLETED", "completion")

    starts = run.events("start")
    assert [event.values["nodes"] for event in starts] == [*[["n1", "n2", "n3", "n4"]] * 2, ["n1", "n2"]]
    (left,) = run.events("left")
    saves = [event.values["step"] for event in run.events("saved") if event.start.count < 2]
    resumed = [event.values["step"] for event in run.events("ready")]
    assert resumed == [0, left.values["step"], max(saves)]  # nothing but the work since the last save is lost
    before, after = runs.losses(local_run), runs.losses(run.folder)
    assert after == pytest.approx(before, abs=TOLERANCE)
    wide = range(1, max(saves) + 1)
    assert [after[step] for step in wide] == [before[step] for step in wide]  # bit for bit

    parts = parts_of(RunFolder(run.folder).journal.events(), list(record.seen.values()), ENDS)
    picture = draw(parts, before, subtitle(before, after, resumed[2]))
    ElementTree.fromstring(picture)
    folder = Path(os.environ.get("MMFM_PICTURES", tmp_path))
    (folder / "recorded_run.svg").write_text(picture)


def subtitle(before: dict[int, float], after: dict[int, float], shrunk: int) -> str:
    """When, on what, and how close the losses are."""
    off = {step: abs(after[step] - before[step]) for step in before}
    wide = max(value for step, value in off.items() if step <= shrunk)
    narrow = max(value for step, value in off.items() if step > shrunk)
    return (
        f"The demo recipe on the test cluster, {time.strftime('%Y-%m-%d')}. Largest difference of the "
        f"losses: {wide:.1g} on four nodes, {narrow:.1g} on two"
    )
