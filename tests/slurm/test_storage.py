"""Full disks, truncated files, hanging ranks, slow links, losses that are no numbers: on a real cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs

from mmfm.training.checkpoint import damage
from mmfm.training.runfolder import RunFolder
from slurm.testbed.cluster import Cluster

SAVING = ["train.zero_stage=2", "checkpoint.every=5", "checkpoint.max_failed=100"]
WATCHED = ["watchdog.step_seconds=20", "watchdog.start_seconds=60"]  # the latter is for saves as well
DIVERGING = ["optim.lr=1e30", "optim.clip_norm=0", "checkpoint.every=1"]
TOO_SMALL, ROOMY = "12m", "400m"  # for checkpoints of 31 MB


def test_run_outlives_a_full_disk_a_hanging_rank_and_a_truncated_checkpoint(
    cluster: Cluster, submit: Callable[..., Any], local_run: Path, tmp_path: Path
) -> None:
    # The disk for the checkpoints is mounted inside the sandbox: only commands that run there see its files.
    disk = tmp_path / "run" / "checkpoints"
    disk.mkdir(parents=True)
    cluster.run("mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(disk))
    run = submit(*SAVING, *WATCHED, processes=1)
    cluster.run("mount", "-o", f"remount,size={TOO_SMALL}", str(disk))
    run.wait_for(lambda: bool(run.events("save_failed")), "failed save")
    cluster.run("mount", "-o", f"remount,size={ROOMY}", str(disk))
    run.wait_for(lambda: len(run.events("saved")) >= 2, "two saves")

    cluster.run("kill", "-STOP", str(run.pid(start=0, rank=1)))
    run.wait_for(lambda: bool(run.events("requeued")), "requeue after the hang")
    newest = cluster.run("cat", str(disk / "latest")).strip()
    cluster.run("truncate", "--size=1000", str(disk / newest / "model" / "model.safetensors"))
    run.wait_for_end()

    no_room = run.events("save_failed")[0].values
    assert re.search(r"rank \d on n[12]: \w+: .* \(\d+ MB are free in /", no_room["cause"])
    assert f"warning: step {no_room['step']} is not saved: {no_room['cause']}" in run.log(0)
    (hung,) = run.events("failed")
    assert hung.values["kind"] == "hang"
    no_progress = r"rank 0 on n1: no progress: [\w ]+ \(step \d+\) for \d\d s \(watchdog.\w+=[26]0\)"
    assert re.search(rf"{no_progress}; no sign of life: rank 1 on n2: [\w ]+", hung.values["cause"])
    assert hung.values["cause"] in run.log(0)
    assert "The stacks of all threads:\nThread 0x" in run.log(0)
    saved = [event.values["step"] for event in run.events("saved") if event.start.count == 0]
    assert newest == f"step_{saved[-1]:08d}"
    assert f"warning: checkpoint {newest} is damaged and passed over" in run.log(0)
    assert f"step_{saved[-2]:08d}: step {saved[-2]} of" in run.log(0)  # it went on from the one before
    assert run.fact("Restarts") == "1"
    left = [name for name in cluster.run("ls", "-A", str(disk)).split() if not name.startswith(".damaged")]
    assert left == ["latest", "step_00000035", "step_00000040"]
    assert runs.losses(run.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)


def test_slow_link_is_left_behind_and_a_loss_that_is_no_number_ends_the_run(
    slow_node: str, submit: Callable[..., Any]
) -> None:
    run = submit("cluster.min_bandwidth=0.001", *DIVERGING, nodes=3, processes=1)
    run.wait_for(lambda: run.fact("JobState") == "FAILED", "failure", may_fail=True)
    slow, diverged = run.events("failed")
    assert (slow.values["kind"], slow.values["nodes"]) == ("node", [slow_node])
    assert f"cluster.min_bandwidth is 0.001; slow: {slow_node} (between nodes: n1 and n2 " in run.log(0)
    assert [event.values["nodes"] for event in run.events("start")] == [
        ["n1", "n2", "n3"],
        ["n1", "n3", "n4"],
    ]

    assert diverged.values["kind"] == "user"
    assert run.fact("Restarts") == "1"  # for the link alone
    guilty = r"the loss of step \d is not finite \(rank 0 on n1: samples \S+, .*; rank 2 on n4: samples \S+, "
    assert re.search(guilty, diverged.values["cause"]) and re.search(guilty, run.log(0))
    kept = RunFolder(run.folder).checkpoints / f"step_{run.events('saved')[-1].values['step']:08d}"
    assert damage(kept) is None


@pytest.fixture
def slow_node(cluster: Cluster) -> Iterator[str]:
    """A node that sends 1 Mbit/s."""
    node, link = "n2", ("dev", "eth0", "root")
    limit = ("tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms")
    cluster.run("tc", "qdisc", "add", *link, *limit, node=node)
    yield node
    cluster.run("tc", "qdisc", "del", *link, node=node)
