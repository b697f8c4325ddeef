"""A node that cannot serve is excluded; a rank that is killed costs only the work since the last save."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs


def test_bad_node_is_excluded_and_a_killed_rank_costs_only_the_work_since_the_last_save(
    breakage: Any, submit: Callable[..., Any], shards_folder: Path, local_run: Path, tmp_path: Path
) -> None:
    for node in ("n1", "n3", "n4"):
        (tmp_path / "scratch" / node).mkdir(parents=True)
    breakage.hide(shards_folder, "n2")
    scratch = f"cluster.scratch={tmp_path}/scratch/$SLURMD_NODENAME"
    run = submit("checkpoint.every=5", scratch, processes=1)
    with pytest.raises(subprocess.SubprocessError, match=rf"has Slurm job {run.job} already"):
        submit(processes=1)
    run.wait_for(lambda: bool(run.events("saved")), "checkpoint")
    (bad,) = run.events("failed")
    assert bad.values["kind"] == "node" and bad.values["nodes"] == ["n2"]
    assert f"it does not have data.shards={shards_folder} (it is empty)" in bad.values["cause"]
    assert "n2: cluster.scratch=" in bad.values["cause"] and "No such file" in bad.values["cause"]
    nodes = run.events("start")[-1].values["nodes"]
    assert "n2" not in nodes

    run.cluster.run("kill", "-9", str(run.pid(start=1, rank=1)))
    run.wait_for_end()
    killed = run.events("failed")[-1]
    assert killed.values["kind"] == "killed" and killed.values["ranks"] == [1]
    assert f"rank 1 on {nodes[1]}: Killed" in run.log(0)
    assert run.events("requeued")[-1].values["excluded"] == []
    assert "n2" not in run.events("start")[-1].values["nodes"]
    saved = [event.values["step"] for event in run.events("saved") if event.start.count == 1]
    assert f"step_{saved[-1]:08d}: step {saved[-1]} of" in run.log(0)  # it went on from the last save
    assert runs.losses(run.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)
