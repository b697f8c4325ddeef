"""The scaling benchmark: its numbers from written journals, its plan, its file and its picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from launch.cli import main
from launch.scaling import runs as scaling_runs
from launch.scaling.figure import draw
from launch.scaling.measures import Scaling, Size, collect, steady_rate
from launch.scaling.runs import Plan, SlurmTrial, is_halfway, run_plan, split_sizes
from launch.slurm.queue import JobState
from mmfm.config import dump
from mmfm.config.schema import PretrainConfig, RunConfig, TrainConfig
from mmfm.errors import ConfigError, DataError, UserError

RECIPE = str(Path(__file__).parents[3] / "configs" / "pretrain" / "demo.yaml")
Line = tuple[str, int, float, dict[str, Any]]  # event, start, time, values

ONCE: list[Line] = [  # submitted at 100 s, one planned stop after step 20
    ("submitted", 0, 100, {"nodes": 2, "processes": 4}),
    ("start", 0, 130, {"nodes": ["n1", "n2"], "processes": 8}),
    ("ready", 0, 150, {"step": 0, "allreduce_gbps": 2.0, "allreduce_ms": 10.0}),
    ("stepped", 0, 160, {"step": 1}),
    ("saved", 0, 200, {"step": 20, "seconds": 3.0}),
    ("left", 0, 201, {"step": 20, "cause": "a signal"}),
    ("requeued", 0, 202, {"excluded": []}),
    ("start", 1, 240, {"nodes": ["n1", "n2"], "processes": 8}),
    ("ready", 1, 250, {"step": 20, "allreduce_gbps": 4.0, "allreduce_ms": 20.0}),
    ("stepped", 1, 251, {"step": 21}),
    ("saved", 1, 300, {"step": 40, "seconds": 1.0}),
    ("done", 1, 301, {"step": 40}),
]


def write_run(folder: Path, events: Sequence[Line], rate: float = 64.0, batch: int = 32) -> Path:
    """A run of 40 steps that reports every 10; the first report of each start is slow."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"train: {{steps: 40, global_batch: {batch}}}\n")
    (folder / "env.json").write_text(json.dumps({"python": "3.11", "host": "n1", "git": "abc"}))
    lines = [
        {"event": name, "job": "7", "start": start, "time": time, **values}
        for name, start, time, values in events
    ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    speeds = [(10, 1.0, 0.9), (20, rate, 0.1), (30, 1.0, 0.9), (40, rate / 3, 0.3)]
    metrics = [
        {"step": step, "loss": 1.0, "samples_per_s": speed, "data_wait_share": wait}
        for step, speed, wait in speeds
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def test_numbers_of_a_run_with_one_planned_stop(tmp_path: Path) -> None:
    size = Size(nodes=2, processes=4, global_batch=32)
    result = collect("demo.yaml", "weak", [(size, write_run(tmp_path / "a", ONCE))])
    (run,) = result.runs
    # 320 samples at 64/s are 5 s, 320 at a third of that 15 s; a start's first report does not count
    assert run.samples_per_s == pytest.approx(640 / 20)
    assert run.data_wait_share == pytest.approx((5 * 0.1 + 15 * 0.3) / 20)
    assert run.per_process == pytest.approx(640 / 20 / 8)
    assert (run.allreduce_ms, run.allreduce_gbps) == (15.0, 3.0)
    assert (run.save_seconds, run.saves) == (2.0, 2)
    assert (run.queue_seconds, run.submit_seconds, run.requeue_seconds) == (30.0, 60.0, 50.0)
    assert (run.starts, run.failures, run.steps, run.problem) == (2, 0, 40, "")
    assert result.machine == {"python": "3.11", "git": "abc"}


def test_a_failure_between_is_no_requeue_and_is_told(tmp_path: Path) -> None:
    failed: Line = ("failed", 0, 201, {"cause": "rank 3 on n2: killed", "kind": "killed"})
    events = [failed if event[0] == "left" else event for event in ONCE]  # it is requeued all the same
    (run,) = collect("r", "weak", [(Size(2, 4, 32), write_run(tmp_path / "a", events))]).runs
    assert run.requeue_seconds is None
    assert run.failures == 1
    assert "rank 3 on n2: killed" in run.problem


@pytest.mark.parametrize(
    ("events", "size", "problem"),
    [
        ([], Size(2, 4, 32), "never started"),
        (ONCE[:5], Size(2, 4, 32), "is not done"),
        (ONCE, Size(3, 4, 32), "ran on 2 nodes"),
        (ONCE, Size(2, 4, 64), "global batch of 32"),
    ],
)
def test_what_is_wrong_with_a_run_stands_beside_its_numbers(
    tmp_path: Path, events: list[Line], size: Size, problem: str
) -> None:
    result = collect("r", "weak", [(size, write_run(tmp_path / "a", events))])
    assert problem in result.runs[0].problem
    assert problem in str(result)


def test_a_start_whose_first_step_falls_into_a_report_spoils_only_that(tmp_path: Path) -> None:
    lines = [{"step": step, "samples_per_s": 8.0, "data_wait_share": 0.0} for step in (5, 10, 13, 15, 20)]
    rate, wait = steady_rate(lines, 4, first_steps=[1, 14])
    assert (rate, wait) == (pytest.approx(8.0), 0.0)
    assert steady_rate(lines[:1], 4, first_steps=[1]) == (None, None)


@pytest.fixture
def result(tmp_path: Path) -> Scaling:
    """Three sizes, of which the largest failed at once."""
    folders = [
        (Size(4, 4, 64), tmp_path / "never"),
        (Size(2, 4, 32), write_run(tmp_path / "b", ONCE, rate=120.0)),
        (Size(1, 4, 16), write_run(tmp_path / "a", ONCE, batch=16)),
    ]
    return collect("demo.yaml", "weak", folders)


def test_efficiency_is_the_share_of_the_smallest(result: Scaling) -> None:
    shares = [result.efficiency(run) for run in result.runs]
    assert [run.size.nodes for run in result.runs] == [1, 2, 4]
    assert shares == [pytest.approx(1.0), pytest.approx(120 / 64 / 2), None]


def test_the_file_is_read_back_and_anything_else_is_refused(result: Scaling, tmp_path: Path) -> None:
    path = tmp_path / "scaling.json"
    result.write(path)
    assert Scaling.read(path) == result
    assert json.loads(path.read_text())["runs"][1]["efficiency"] == pytest.approx(120 / 64 / 2)
    path.write_text('{"schema": 1}')
    with pytest.raises(DataError, match="no result file"):
        Scaling.read(path)


def test_the_picture_shows_each_size_and_lacks_what_is_not_known(result: Scaling) -> None:
    words = [element.text for element in ElementTree.fromstring(draw(result)).iter() if element.text]
    assert {"1 x 4", "2 x 4", "4 x 4", "94%", "15.0 ms"} <= set(words)
    assert not any("nan" in word or "None" in word for word in words)
    draw(replace(result, runs=result.runs[2:]))  # nothing to draw is no error


def test_sizes_are_taken_out_of_the_overrides() -> None:
    assert split_sizes(["train.steps=9", "nodes=4,1,2", "cluster=slurm"]) == (
        *("nodes", [1, 2, 4]),
        ["train.steps=9", "cluster=slurm"],
    )
    for wrong in ([], ["nodes=1", "processes=2"], ["nodes=0,1"], ["nodes=two"]):
        with pytest.raises(ConfigError, match="nodes=1,2,4"):
            split_sizes(wrong)


def plan(shards: Path, root: Path, mode: str, *words: str) -> Plan:
    """A plan on the small drawn set."""
    return Plan.of(RECIPE, [f"data.shards={shards}", f"run.root={root}", *words], mode)


def test_weak_scaling_grows_the_batch_and_strong_does_not(shards_folder: Path, tmp_path: Path) -> None:
    weak = plan(shards_folder, tmp_path, "weak", "processes=2,4,6", "train.global_batch=24", "run.name=b")
    assert [size.global_batch for size, _, _ in weak.trials] == [24, 48, 72]
    assert [config.train.global_batch for _, _, config in weak.trials] == [24, 48, 72]
    assert [path for _, path in weak.folders] == [tmp_path / "b" / f"processes-{n}" for n in (2, 4, 6)]
    strong = plan(shards_folder, tmp_path, "strong", "processes=2,4,6", "train.global_batch=24")
    assert [config.train.global_batch for _, _, config in strong.trials] == [24, 24, 24]
    assert all("demo" not in str(path) for _, path in strong.folders)  # not the recipe's own run.name
    with pytest.raises(ConfigError, match="take a multiple of 2"):
        plan(shards_folder, tmp_path, "weak", "processes=2,3", "train.global_batch=25")


def test_runs_on_slurm_are_short_and_of_one_size(shards_folder: Path, tmp_path: Path) -> None:
    words = ["cluster=slurm", "cluster.min_nodes=1", "cluster.gpus=a100:4", "nodes=1,2", "train.steps=200"]
    made = plan(shards_folder, tmp_path, "weak", "train.global_batch=16", *words)
    for _, _, config in made.trials:
        assert (config.train.steps, config.log.every, config.checkpoint.every) == (200, 10, 50)
        assert config.cluster.min_nodes == 0
    assert [size.world for size, _, _ in made.trials] == [4, 8]
    words = ["cluster=slurm", "cluster.gpus=a100:4", "processes=2", "log.every=1", "train.global_batch=16"]
    (_, _, config) = plan(shards_folder, tmp_path, "strong", *words).trials[0]
    assert (config.cluster.gpus, config.cluster.processes) == ("a100:2", 2)
    assert (config.train.steps, config.log.every) == (100, 1)


def test_a_run_is_disturbed_in_its_middle_and_once(tmp_path: Path) -> None:
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="a"), train=TrainConfig(steps=40))
    assert not is_halfway(config)
    folder = write_run(tmp_path / "a", ONCE[:5])
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    for count, expected in ((1, False), (2, True), (3, True), (4, False)):
        (folder / "metrics.jsonl").write_text("".join(lines[:count]))
        assert is_halfway(config) == expected
    write_run(tmp_path / "b", ONCE[:7])
    (tmp_path / "b" / "metrics.jsonl").write_text("".join(lines[:3]))
    config.run.name = "b"
    assert not is_halfway(config)


def test_together_is_refused_on_one_machine(
    shards_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "scaling", RECIPE, "--together", "processes=1,2", "train.global_batch=16"]
    assert main([*words, f"data.shards={shards_folder}", f"run.root={tmp_path}"]) == 2
    assert "--together" in capsys.readouterr().err


# Stands in for `mmfm pretrain`: half of the steps and a wait for SIGTERM, then, started again, the rest.
TRAINER = """
import json, pathlib, signal, sys, time
words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
folder = pathlib.Path(json.loads(words["run.root"])) / words["run.name"]
folder.mkdir(parents=True, exist_ok=True)
journal, metrics = folder / "journal.jsonl", folder / "metrics.jsonl"
again = journal.exists()
def note(name, **values):
    line = {"event": name, "job": str(int(again)), "start": 0, "time": time.time(), **values}
    journal.open("a").write(json.dumps(line) + "\\n")
def report(step):
    line = {"step": step, "samples_per_s": 8.0, "data_wait_share": 0.0, "loss": 1.0}
    metrics.open("a").write(json.dumps(line) + "\\n")
if "bad" in words:
    sys.exit(2)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
(folder / "config.yaml").write_text((folder.parent / f"{folder.name}.yaml").read_text())
note("start", nodes=["here"])
note("stepped", step=51 if again else 1)
for step in range(60, 101, 10) if again else range(10, 51, 10):
    report(step)
if again:
    note("done", step=100)
    sys.exit(0)
end = time.monotonic() + 60
while not stop and time.monotonic() < end:
    time.sleep(0.02)
note("left", step=50)
sys.exit(128 + signal.SIGTERM)
"""


@pytest.fixture
def two_sizes(shards_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of one and two processes here, with the stand-in for training."""
    monkeypatch.setattr(scaling_runs, "CHILD", TRAINER)
    monkeypatch.setattr(scaling_runs, "POLL_SECONDS", 0.05)
    made = plan(shards_folder, tmp_path, "weak", "processes=1,2", "train.global_batch=8", "run.name=b")
    for (_, folder), (_, _, config) in zip(made.folders, made.trials, strict=True):
        dump(config, folder.with_name(f"{folder.name}.yaml"))
    return made


def test_sizes_here_run_one_after_another_and_each_is_stopped_once(
    two_sizes: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    run_plan(two_sizes, together=False)
    runs = collect("r", "weak", two_sizes.folders).runs
    assert [(run.size.world, run.starts, run.problem) for run in runs] == [(1, 2, ""), (2, 2, "")]
    assert all(run.requeue_seconds is not None and run.requeue_seconds >= 0 for run in runs)
    run_plan(two_sizes, together=False)  # the same again finds them done
    assert collect("r", "weak", two_sizes.folders).runs == runs
    assert capsys.readouterr().err.count("done already") == 2


def test_a_size_that_fails_is_told_of_and_the_others_go_on(
    two_sizes: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    two_sizes.trials[0][1].append("bad=1")
    run_plan(two_sizes, together=False)
    assert "1 x 1: ended with exit code 2" in capsys.readouterr().err
    first, second = collect("r", "weak", two_sizes.folders).runs
    assert first.problem == "it never started" and second.problem == ""


def test_a_job_that_is_gone_for_good_ends_the_waiting_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling_runs, "QUEUE_SECONDS", 0.0)
    answers = ["running", "failed", "pending", "failed", "failed", "failed"]  # a requeue has short gaps
    states = iter([JobState(state, queued=state in ("running", "pending")) for state in answers])
    monkeypatch.setattr(scaling_runs, "_state", lambda job: next(states))
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="a"), train=TrainConfig(steps=400))
    write_run(tmp_path / "a", [*ONCE[:4], ("failed", 0, 190, {"cause": "rank 1 on n2: no space left"})])
    trial = SlurmTrial(Size(2, 4, 32), config, job="7")
    for _ in answers[:-1]:
        assert trial.poll()
    with pytest.raises(UserError, match=r"job 7 failed: .*rank 1 on n2: no space left"):
        trial.poll()
    assert capsys.readouterr().err.count("2 x 4: job 7 failed") == 2
