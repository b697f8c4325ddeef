"""Pretraining submitted to a real Slurm: it runs over two nodes, and survives what Slurm does to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs

from launch.start.meeting import attendance, meeting_folder
from launch.start.snapshot import Snapshot
from mmfm.training.runfolder import RunFolder

RANKS = range(4)
STEPS = 40


def test_run_over_two_nodes_has_the_losses_of_one_machine(
    submit: Callable[..., Any], local_run: Path
) -> None:
    run = submit("checkpoint.every=20")
    run.wait_for_end()
    assert run.fact("NodeList") == "n[1-2]"
    assert run.fact("Restarts") == "0"
    for rank in RANKS:
        assert "Exiting after successful completion" in run.log(rank)
    ran = json.loads((run.folder / "env.json").read_text())["code"]
    assert ran == str(Snapshot(run.folder).folder)
    assert runs.losses(run.folder) == pytest.approx(runs.losses(local_run), abs=1e-4)


def test_job_survives_a_signal_and_a_requeue_with_the_same_losses(
    submit: Callable[..., Any], local_run: Path
) -> None:
    run = submit(
        "cluster.processes=1", "cluster.gpus=1", "checkpoint.every=1000"
    )  # only signals make it save
    run.wait_for_step(4)
    run.cluster.run("scancel", "--signal=USR2", run.job)  # as before the time limit, or a preemption
    run.wait_for(lambda: run.fact("Restarts") == "1", "requeue by the job itself")
    saved = stops(run.log(0))[0]
    assert 4 <= saved < STEPS
    run.wait_for_step(saved + 2)
    run.cluster.run("scontrol", "requeue", run.job)  # sends only SIGTERM, as it does for `scancel`
    run.wait_for_end()
    assert run.fact("Restarts") == "2"
    assert continuations(run.log(0)) == stops(run.log(0))  # each start goes on where the one before saved
    assert runs.losses(run.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)  # two ranks, not four


def test_preempted_job_goes_on_and_cancelled_job_does_not(submit: Callable[..., Any]) -> None:
    alone = ["cluster.nodes=1", "cluster.processes=1", "cluster.gpus=1"]
    run = submit("checkpoint.every=10000", "train.steps=2000", "cluster.partition=low", *alone)
    run.wait_for_step(2)
    run.cluster.run(
        "sbatch", "--partition=high", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1"
    )
    run.wait_for(lambda: run.fact("Restarts") == "1", "requeue after the preemption")
    run.wait_for_step(stops(run.log(0))[0] + 1)
    assert "continuing" in run.cluster.run("mmfm", "logs", str(run.folder))
    run.cluster.run("mmfm", "cancel", str(run.folder))
    run.wait_for(lambda: run.fact("JobState") == "CANCELLED", "cancellation")
    assert "does not requeue itself" in run.log(0)
    assert len(stops(run.log(0))) == 2  # it saved both times
    assert list((run.folder / "checkpoints").glob(f"step_*{stops(run.log(0))[1]}/manifest.json"))


def test_starts_that_are_stopped_before_their_first_step_are_no_failures(submit: Callable[..., Any]) -> None:
    run = submit("cluster.max_failures=1", "checkpoint.every=20", processes=1)
    stops_it = [("scontrol", "requeue"), ("scancel", "--signal=USR2")]  # Slurm sends SIGTERM, or only asks
    for count, command in enumerate(stops_it):
        met = meeting_folder(run.folder / "logs" / run.job, count)
        run.wait_for(lambda met=met: attendance(met) == {0, 1}, "processes that meet")  # type: ignore[misc]
        run.cluster.run(*command, run.job)
        run.wait_for(lambda count=count: run.fact("Restarts") == str(count + 1), "requeue")  # type: ignore[misc]
    run.wait_for_end()
    told = [(event.start.count, event.values) for event in run.events("left")]
    assert [count for count, _ in told] == [0, 1]
    assert told[0][1]["cause"].startswith("SIGTERM on n") and told[1][1]["cause"].startswith("SIGUSR2 on n")
    assert [event.start.count for event in run.events("stepped")] == [2]
    assert not run.events("failed") and RunFolder(run.folder).journal.failures() == []
    assert sorted(runs.losses(run.folder)) == list(range(1, STEPS + 1))


def stops(log: str) -> list[int]:
    """The steps after which training stopped on request."""
    return [int(step) for step in re.findall(r"stopped on request after step (\d+)", log)]


def continuations(log: str) -> list[int]:
    """The steps after which training continued."""
    return [int(step) for step in re.findall(r"continuing .* step (\d+) of", log)]
