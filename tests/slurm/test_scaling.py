"""The scaling benchmark on a real Slurm: it submits, disturbs, waits and collects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import training_processes as runs

from launch.scaling.measures import Scaling
from slurm.testbed.cluster import Cluster

RECIPE = str(Path(__file__).parents[2] / "configs" / "pretrain" / "demo.yaml")
SECONDS = 480


@pytest.fixture
def jobs_end(cluster: Cluster) -> Iterator[None]:
    """No job of the benchmark is left behind, however it went."""
    yield
    cluster.run("scancel", "--name=mmfm-pretrain")


@pytest.mark.usefixtures("jobs_end")
def test_two_sizes_are_run_requeued_once_and_collected(
    cluster: Cluster, shards_folder: Path, tmp_path: Path
) -> None:
    tiny = [word for word in runs.TINY if not word.startswith("log.every")]
    where = [
        "cluster=testbed",
        "cluster.processes=1",
        "cluster.gpus='1'",
        f"run.root={tmp_path}",
        "run.name=b",
    ]
    words = [RECIPE, "nodes=1,2", *tiny, *where, f"data.shards={shards_folder}", "train.steps=60"]
    printed = cluster.run("mmfm", "bench", "scaling", "--together", *words, timeout=SECONDS)
    (file,) = (tmp_path / "b").glob("scaling-*.json")
    result = Scaling.read(file)
    assert str(file) in printed and str(result) in printed
    assert [(run.size.nodes, run.size.global_batch, run.problem) for run in result.runs] == [
        (1, 16, ""),
        (2, 32, ""),
    ]
    for run in result.runs:
        assert (run.starts, run.failures, run.steps) == (2, 0, 60)
        assert run.samples_per_s and run.data_wait_share is not None
        assert run.save_seconds and run.saves >= 4
        assert run.submit_seconds and run.queue_seconds and 0 < run.queue_seconds < run.submit_seconds
        assert run.requeue_seconds and run.requeue_seconds > 0
    assert result.runs[1].allreduce_ms and result.runs[1].allreduce_gbps
    ElementTree.parse(file.with_suffix(".svg"))
