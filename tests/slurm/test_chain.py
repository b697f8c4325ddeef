"""Chains of jobs on a real Slurm: a pipeline, a sweep, and evaluations that a running job submits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import training_processes as runs
import yaml
from waiting import SECONDS, until

from launch.pipelines.records import Records
from mmfm.training.journal import Event
from slurm.testbed.cluster import Cluster

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
ALONE = ["cluster=testbed", "cluster.nodes=1", "cluster.processes=1", "cluster.gpus=1", "cluster.memory_gb=1"]


@pytest.fixture
def clean_queue(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; jobs that a test leaves are cancelled."""
    yield cluster
    jobs = cluster.run("squeue", "-h", "-o", "%A").split()
    if jobs:
        cluster.run("scancel", *set(jobs))


def tiny(**more: Any) -> dict[str, Any]:
    """Values of a tiny training run, nested as in a recipe."""
    values: dict[str, Any] = {}
    for word in runs.TINY:
        key, _, value = word.partition("=")
        group, _, name = key.partition(".")
        values.setdefault(group, {})[name] = yaml.safe_load(value)
    for group, settings in more.items():
        values[group] = {**values.get(group, {}), **settings}
    return values


def write_pipeline(folder: Path, raw: Path) -> Path:
    """Shards by an array, pretraining that submits an evaluation, two evaluations as an array, a report."""
    own = "${run.root}/${run.name}"
    shards = f"{own}/shards"
    where = {"root": own, "name": "pretrain"}
    evaluation = {"run": where, "checkpoint": f"{own}/pretrain", "shards": shards, "bootstrap": 10}
    recipe = {
        "run": {"root": str(folder), "name": "p"},
        "data": {"root": str(raw)},
        "stages": {
            "shards": {
                "command": "data shard",
                "recipe": str(CONFIGS / "data/demo.yaml"),
                "set": {
                    "root": "${data.root}",
                    "output": shards,
                    "pack": {"samples_per_shard": 24, "tasks": 2, "workers": 1},
                },
            },
            "pretrain": {
                "command": "pretrain",
                "after": ["shards"],
                "set": tiny(
                    run=where,
                    data={"shards": shards},
                    train={"steps": 60},
                    checkpoint={"every": 10, "keep_every": 10},
                    evals={"every": 30, "set": {"suites": ["zeroshot"], "bootstrap": 10}},
                ),
            },
            "evaluate": {
                "command": "evaluate",
                "after": ["shards", "pretrain"],
                "limit": 1,
                "set": evaluation,
                "each": {"zeroshot": {"suites": ["zeroshot"]}, "retrieval": {"suites": ["retrieval"]}},
            },
            "report": {"command": "report", "after": ["evaluate"], "set": {"folder": own}},
        },
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def event(records: Records, stage: str, name: str) -> Event:
    """The last event of that name."""
    return [event for event in records[stage].journal.events() if event.name == name][-1]


def shown(records: Records) -> str:
    """How the stages stand, for a test that fails."""
    stands = [(name, records[name].status) for name in records.stages]
    logs = [path for path in records.folder.rglob("*_0_log.err") if path.stat().st_size]
    newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    return f"{stands}\n{newest}\n{newest.read_text()[-3000:] if newest else ''}"


def test_pipeline_runs_by_dependency_and_survives_a_requeue(
    clean_queue: Cluster, raw_folder: Path, shards_folder: Path, tmp_path: Path
) -> None:
    cluster, recipe = clean_queue, write_pipeline(tmp_path, raw_folder)
    cluster.run("mmfm", "pipeline", str(recipe), *ALONE, timeout=SECONDS)
    records = Records(tmp_path / "p")
    stages = list(records.stages)
    assert stages == ["shards", "pretrain", "evaluate.zeroshot", "evaluate.retrieval", "report"]
    run = tmp_path / "p" / "pretrain"
    first = run / "checkpoints" / "step_00000010" / "manifest.json"
    until(first.exists, lambda: shown(records))
    pretrain = records["pretrain"].status.job
    cluster.run("scontrol", "requeue", pretrain)  # what waits for it goes on waiting
    until(
        lambda: all(records[name].status.name not in ("submitted", "running", "requeued") for name in stages),
        lambda: shown(records),
    )
    assert [records[name].status.name for name in stages] == ["finished"] * 5, shown(records)
    assert event(records, "pretrain", "running").start.count == 1
    order = [event(records, name, "running").time for name in stages]
    assert order == sorted(order)
    one, other = (event(records, f"evaluate.{name}", "finished") for name in ("zeroshot", "retrieval"))
    assert one.start.job.split("_")[0] == other.start.job.split("_")[0]  # an array
    assert event(records, "evaluate.retrieval", "running").time > one.time  # of which one ran at a time
    assert manifest(tmp_path / "p" / "shards") == manifest(shards_folder)  # as one process writes them
    assert (tmp_path / "p" / "report.html").is_file()
    until(lambda: len(list((run / "evals").glob("step_*/zeroshot.json"))) >= 2, lambda: shown(records))
    again = cluster.run("mmfm", "pipeline", str(recipe), *ALONE, timeout=SECONDS)
    assert "zeroshot" in again and records["pretrain"].status.job == pretrain  # nothing was submitted again


def manifest(shards: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shards / "dataset.json").read_text())
    return found


def test_failed_stage_cancels_what_waits_for_it_and_says_why(clean_queue: Cluster, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    recipe = write_pipeline(tmp_path, tmp_path / "raw")
    clean_queue.run("mmfm", "pipeline", str(recipe), *ALONE, timeout=SECONDS)
    records = Records(tmp_path / "p")
    last = "report"
    until(lambda: records[last].status.name == "cancelled", lambda: shown(records))
    assert records["shards"].status.name == "failed"
    why = records["shards"].status.cause
    assert "metadata.csv not found" in why
    for name in list(records.stages)[1:]:
        assert records[name].status.cause == f"not run: shards failed: {why}"
    until(lambda: clean_queue.run("squeue", "-h") == "", lambda: clean_queue.run("squeue"))


def test_sweep_is_an_array_with_a_limit_and_a_table(
    clean_queue: Cluster, shards_folder: Path, tmp_path: Path
) -> None:
    words = [*runs.TINY, f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=s", *ALONE]
    words += ["train.steps=3", "optim.lr=1e-3,1e-4", "--limit", "1"]
    recipe = str(CONFIGS / "pretrain/demo.yaml")
    clean_queue.run("mmfm", "sweep", "pretrain", recipe, *words, timeout=SECONDS)
    records = Records(tmp_path / "s")
    jobs = {name: records[name].status.job for name in records.stages}
    assert {job.partition("_")[2] for job in jobs.values()} == {"0", "1"}
    until(lambda: all(records[name].status.name == "finished" for name in jobs), lambda: shown(records))
    begins = sorted(event(records, name, "running").time for name in jobs)
    ends = sorted(event(records, name, "finished").time for name in jobs)
    assert begins[1] > ends[0]
    again = clean_queue.run("mmfm", "sweep", "pretrain", recipe, *words, timeout=SECONDS)
    assert {name: records[name].status.job for name in jobs} == jobs, again
    table = clean_queue.run("mmfm", "sweep", "table", str(tmp_path / "s")).splitlines()
    assert table[0].split()[:5] == ["optim.lr", "state", "job", "step", "loss"]
    assert [line.split()[:4:3] for line in table[1:3]] == [["1e-3", "3"], ["1e-4", "3"]]
