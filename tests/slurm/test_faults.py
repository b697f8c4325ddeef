"""What breaks on a cluster, broken on purpose: processes, nodes, links. Each run says what, and goes on."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs

from mmfm.training.beat import read_beats
from mmfm.training.checkpoint import damage
from mmfm.training.journal import Event
from mmfm.training.runfolder import RunFolder
from slurm.testbed.cluster import Cluster

ALONE = ["cluster.nodes=1", "cluster.processes=1", "cluster.gpus=1"]
PAIR = ["cluster.nodes=2", "cluster.processes=1", "cluster.gpus=1"]
WHOLE_NODE = "cluster.memory_gb=3"  # no room for another job beside
FOR_EVER = "train.steps=1000000"
SECONDS = 240
Submit = Callable[..., Any]


def test_bad_node_is_excluded_and_a_killed_rank_costs_only_the_work_since_the_last_save(
    submit: Submit, local_run: Path, tmp_path: Path
) -> None:
    for node in ("n1", "n3", "n4"):
        (tmp_path / "scratch" / node).mkdir(parents=True)
    run = submit(*PAIR, "checkpoint.every=5", f"cluster.scratch={tmp_path}/scratch/$SLURMD_NODENAME")
    with pytest.raises(subprocess.SubprocessError, match=rf"has Slurm job {run.job} already"):
        submit(*PAIR)
    run.wait_for(lambda: bool(events(run, "saved")), "checkpoint")
    (bad,) = events(run, "failed")
    assert bad.values["kind"] == "node" and bad.values["nodes"] == ["n2"]
    assert "n2: cluster.scratch=" in bad.values["cause"] and "No such file" in bad.values["cause"]
    nodes = events(run, "start")[-1].values["nodes"]
    assert "n2" not in nodes

    run.cluster.run("kill", "-9", str(pid(run, start=1, rank=1)))
    run.wait_for_end()
    killed = events(run, "failed")[-1]
    assert killed.values["kind"] == "killed" and killed.values["ranks"] == [1]
    assert f"rank 1 on {nodes[1]}: Killed" in run.log(0)
    assert events(run, "requeued")[-1].values["excluded"] == []
    assert "n2" not in events(run, "start")[-1].values["nodes"]
    saved = [event.values["step"] for event in events(run, "saved") if event.start.count == 1]
    assert f"step_{saved[-1]:08d}: step {saved[-1]} of" in run.log(0)  # it went on from the last save
    assert runs.losses(run.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)


def test_nodes_that_are_lost_are_left_behind_and_their_ranks_write_no_more(
    submit: Submit, local_run: Path, repaired: Cluster
) -> None:
    ended = submit(*ALONE, WHOLE_NODE, "checkpoint.every=5", name="ended")  # its slurmd is killed
    cut = submit(*ALONE, WHOLE_NODE, "checkpoint.every=10", FOR_EVER, name="cut")  # its link is cut
    ended.wait_for(lambda: bool(events(ended, "saved")), "checkpoint")
    old = pid(ended, start=0, rank=0)
    repaired.run("kill", "-STOP", str(old))  # it comes back to life when the run is elsewhere
    node = events(ended, "start")[0].values["nodes"][0]
    repaired.run("kill", "-9", str(daemon(repaired, node)))
    cut.wait_for(lambda: bool(events(cut, "saved")), "checkpoint")
    alive = pid(cut, start=0, rank=0)  # this one trains on all the time
    repaired.run("ip", "link", "set", events(cut, "start")[0].values["nodes"][0], "down")

    for run in (ended, cut):
        run.wait_for(lambda run=run: len(events(run, "start")) == 2, "start elsewhere")
        first, second = events(run, "start")
        assert first.values["nodes"] != second.values["nodes"]
    repaired.run("kill", "-CONT", str(old))
    for run, process in ((ended, old), (cut, alive)):
        run.wait_for(lambda process=process: gone(repaired, process), "end of the old rank")
        assert "start 2 has taken" in run.log(0) and "(job " in run.log(0)
        ours = RunFolder(run.folder).journal.events()
        taken = ours.index(events(run, "start")[1])
        assert {event.start.count for event in ours[taken:]} == {1}  # the old start has no say any more
    ended.wait_for_end()
    assert runs.losses(ended.folder) == pytest.approx(runs.losses(local_run), abs=2e-4)
    cut.wait_for(lambda: bool([e for e in events(cut, "saved") if e.start.count == 1]), "save elsewhere")
    steps = [
        json.loads(line)["step"] for line in (cut.folder / "metrics.jsonl").read_text().splitlines()[:-1]
    ]
    assert steps == list(range(1, len(steps) + 1))  # nothing twice, nothing mixed
    repaired.run("scancel", cut.job)
    cut.wait_for(lambda: cut.fact("JobState") == "CANCELLED", "cancellation")
    assert all(damage(folder) is None for folder in RunFolder(cut.folder).checkpoints.glob("step_*"))


def test_time_limit_requeues_a_chain_goes_on_and_a_crash_loop_ends(submit: Submit) -> None:
    two_minutes = ["cluster.hours=0.034", "cluster.save_seconds=80"]
    limited = submit(*ALONE, FOR_EVER, "checkpoint.every=1000000", *two_minutes, name="limited")
    last = submit(*ALONE, "cluster.chain=2", "checkpoint.every=1000", name="chain")
    first = events(last, "submitted")[0].start.job
    # Of every process only, so that the job's script can still say why.
    crashing = submit(*ALONE, "cluster.setup=['ulimit -t 3']", "cluster.max_failures=2", name="crashing")

    until(lambda: bool(events(last, "stepped")), "first step")
    last.cluster.run("scancel", "--signal=USR2", first)
    last.wait_for_end()
    assert [event.start.job for event in events(last, "start")] == [first, last.job]
    assert events(last, "submitted")[1].values["after"] == first
    assert events(last, "left") and events(last, "done") and not events(last, "requeued")

    until(lambda: crashing.fact("JobState") == "FAILED", "end of the crash loop")
    assert crashing.fact("Restarts") == "1"
    (given_up,) = events(crashing, "given_up")
    assert given_up.values["cause"].count("CPU time limit exceeded") == 2
    assert "rank 0 on n" in crashing.log(0) and "the run stays down" in crashing.log(0)

    limited.wait_for(lambda: int(limited.fact("Restarts")) >= 1, "requeue at the time limit")
    left = events(limited, "left")[0]
    limited.wait_for_step(left.values["step"] + 1)
    assert "SIGUSR2" in left.values["cause"] and not events(limited, "failed")


@pytest.fixture
def repaired(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, of which a test may cut links and kill daemons: afterwards all nodes serve again."""
    yield cluster
    for node in cluster.layout.workers:
        cluster.run("ip", "link", "set", node.name, "up")
        if gone(cluster, daemon(cluster, node.name)):
            cluster.run("slurmd", "-N", node.name, "-f", str(cluster.layout.slurm_conf), node=node.name)
    names = {node.name for node in cluster.layout.workers}
    until(
        lambda: set(cluster.run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()) == names, "idle nodes"
    )


def events(run: Any, name: str) -> list[Event]:
    """What the journal of a run tells of one kind of event."""
    return [event for event in RunFolder(run.folder).journal.events() if event.name == name]


def pid(run: Any, start: int, rank: int) -> int:
    """The process of a rank, by its number on the cluster."""
    beats = read_beats(run.folder / "logs" / run.job, start)
    return next(beat.pid for beat in beats if beat.rank == rank)


def daemon(cluster: Cluster, node: str) -> int:
    """The slurmd of a node."""
    return int(cluster.run("cat", f"/run/slurm/slurmd-{node}.pid"))


def gone(cluster: Cluster, process: int) -> bool:
    """Whether a process of the cluster has ended."""
    return (
        subprocess.run(
            cluster.command("kill", "-0", str(process)), stderr=subprocess.DEVNULL, check=False
        ).returncode
        != 0
    )


def until(ready: Callable[[], bool], what: str) -> None:
    """Wait until `ready()`, for a time that is more than enough."""
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, f"no {what} after {SECONDS} s"
        time.sleep(0.3)
