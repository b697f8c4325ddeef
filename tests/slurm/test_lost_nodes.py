"""Nodes are lost, and come back with their old ranks alive while the run goes on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs

from mmfm.training.checkpoint import damage
from mmfm.training.runfolder import RunFolder

WHOLE_NODE = "cluster.memory_gb=3"  # no room for another job beside
FOR_EVER = "train.steps=1000000"


def test_nodes_that_are_lost_are_left_behind_and_their_ranks_write_no_more(
    breakage: Any, submit: Callable[..., Any], local_run: Path
) -> None:
    alone = {"nodes": 1, "processes": 1}
    cut = submit(WHOLE_NODE, "checkpoint.every=10", FOR_EVER, name="cut", **alone)  # its link is cut
    ended = submit(WHOLE_NODE, "checkpoint.every=5", name="ended", **alone)  # its slurmd is killed
    ended.wait_for(lambda: bool(ended.events("saved")), "checkpoint")
    old = ended.pid(start=0, rank=0)
    breakage.cluster.run("kill", "-STOP", str(old))  # it comes back to life when the run is elsewhere
    breakage.kill_daemon(ended.events("start")[0].values["nodes"][0])
    cut.wait_for(lambda: bool(cut.events("saved")), "checkpoint")
    alive = cut.pid(start=0, rank=0)  # this one trains on all the time
    breakage.cut(cut.events("start")[0].values["nodes"][0])

    for run in (ended, cut):
        run.wait_for(lambda run=run: len(run.events("start")) == 2, "start elsewhere")
        first, second = run.events("start")
        assert first.values["nodes"] != second.values["nodes"]
    breakage.cluster.run("kill", "-CONT", str(old))
    for run, process in ((ended, old), (cut, alive)):
        run.wait_for(lambda process=process: breakage.gone(process), "end of the old rank")
        assert "start 2 has taken" in run.log(0) and "(job " in run.log(0)
        ours = RunFolder(run.folder).journal.events()
        taken = ours.index(run.events("start")[1])
        assert {event.start.count for event in ours[taken:]} == {1}  # the old start has no say any more
    ended.wait_for_end()
    assert runs.losses(ended.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)
    cut.wait_for(lambda: bool([e for e in cut.events("saved") if e.start.count == 1]), "save elsewhere")
    steps = [
        json.loads(line)["step"] for line in (cut.folder / "metrics.jsonl").read_text().splitlines()[:-1]
    ]
    assert steps == list(range(1, len(steps) + 1))  # nothing twice, nothing mixed
    breakage.cluster.run("scancel", cut.job)
    cut.wait_for(lambda: cut.fact("JobState") == "CANCELLED", "cancellation")
    assert all(damage(folder) is None for folder in RunFolder(cut.folder).checkpoints.glob("step_*"))
