"""A job submitted by hand with plain sbatch: it survives like others, watched and steered from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from launch.watching.runjobs import RunJobs
from slurm.testbed.cluster import Cluster


def test_a_plain_job_survives_and_is_steered_from_outside(submit_by_hand: Callable[..., Any]) -> None:
    run = submit_by_hand("train.steps=3000", "checkpoint.every=10")
    folder, cluster = str(run.folder), run.cluster
    run.wait_for_step(12)
    assert row(cluster, folder)[:5] == [folder, run.job, "running", "n[1-2]", "1"]
    code = Path(json.loads((run.folder / "env.json").read_text())["code"])
    assert code.parent == run.folder / "code"  # a copy, made when the job began

    cluster.run("kill", "-9", str(run.pid(start=0, rank=1)))
    run.wait_for(lambda: run.fact("Restarts") == "1", "requeue after a rank was killed")
    run.wait_for(lambda: row(cluster, folder)[2] == "running", "step of the second start")
    assert row(cluster, folder)[4:7] == ["2,", "1", "failed"]
    assert "continuing from" in run.log(0)
    events = cluster.run("mmfm", "status", folder, "--events")
    assert "start 1: failed (killed, rank 1, on n2)" in events and "start 2: first step" in events
    assert "mmfm: start 2 on n[1-2]" in cluster.run("mmfm", "logs", folder)

    cluster.run("mmfm", "cancel", folder)
    run.wait_for(lambda: run.fact("JobState") == "CANCELLED", "cancellation")
    run.wait_for(lambda: row(cluster, folder)[2] == "cancelled", "word of it in the accounts")

    cluster.run("mmfm", "requeue", folder, timeout=120)
    again = replace(run, job=RunJobs.of(run.folder).names[-1])
    assert again.job != run.job
    again.wait_for(lambda: "continuing from" in again.log(0), "continuation by another job")
    assert row(cluster, folder)[:2] == [folder, again.job]


def row(cluster: Cluster, folder: str) -> list[str]:
    """The words of a run's row of `mmfm status`."""
    lines = cluster.run("mmfm", "status", folder).splitlines()
    return next(line.split() for line in lines if line.startswith(f"{folder} "))
