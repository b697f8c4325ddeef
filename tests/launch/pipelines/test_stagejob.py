"""What a stage's job writes down when it ends, and with which exit code it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launch.pipelines import chain, stagejob
from launch.pipelines.chain import settle
from launch.pipelines.records import Records, Stage, table
from launch.recipes.config import DemoDataConfig, ReportConfig
from launch.slurm.queue import OVER, JobState
from mmfm.training.failure import Failure, leave
from mmfm.training.journal import Start


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Three stages in a row, submitted as the jobs 1 to 3; the first logs in `logs/JOB`."""
    found = Records(tmp_path)
    draw = DemoDataConfig(folder=str(tmp_path / "raw"))
    found.write_plan(
        [
            Stage("draw", "data demo", draw, group="draw", logs=str(tmp_path / "logs" / "%j")),
            Stage("page", "report", ReportConfig(folder=str(tmp_path)), ("draw",), group="page"),
            Stage("more", "report", ReportConfig(folder=str(tmp_path / "x")), ("page",), group="more"),
        ]
    )
    for number, name in enumerate(found.stages, start=1):
        found[name].note("submitted", Start(str(number)))
    return found


@pytest.fixture
def say_state(monkeypatch: pytest.MonkeyPatch) -> Any:
    """say_state(job=state, ...) is what Slurm says of the jobs; of others it knows nothing."""

    def say(**states: JobState) -> None:
        def job_states(jobs: list[str]) -> dict[str, JobState]:
            return {job: states.get(f"job{job}", JobState(OVER)) for job in jobs}

        monkeypatch.setattr(stagejob, "job_states", job_states)
        monkeypatch.setattr(chain, "job_states", job_states)

    say()
    return say


def end(records: Records, monkeypatch: pytest.MonkeyPatch, code: int, share: str = "whole") -> int:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    words = [str(records.folder), "draw", share]
    assert stagejob.main(["begin", *words]) == 0
    return stagejob.main(["end", *words, str(code)])


def states(records: Records) -> list[str]:
    return [records[name].status.name for name in records.stages]


def test_a_good_end_finishes_the_stage(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (records.folder / "raw").mkdir()
    (records.folder / "raw" / "metadata.csv").write_text("here")
    assert end(records, monkeypatch, 0) == 0
    assert states(records) == ["finished", "submitted", "submitted"]
    assert records.is_finished(records.stages["draw"])


def test_a_good_end_without_output_is_a_failure(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm would start what waits for it, on nothing."""
    assert end(records, monkeypatch, 0) == 1
    assert states(records) == ["stopped", "cancelled", "cancelled"]


def test_a_failure_cancels_all_that_wait_and_says_why(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(records.folder / "logs" / "1", 0, Failure(0, "crash", "no ink", "OSError", node="n7"))
    assert end(records, monkeypatch, 3) == 3
    assert states(records) == ["failed", "cancelled", "cancelled"]
    assert records["draw"].status.cause == "rank 0 on n7: OSError: no ink"
    for name in ("page", "more"):
        assert records[name].status.cause == "not run: draw failed: rank 0 on n7: OSError: no ink"


@pytest.mark.parametrize(("state", "restarts"), [("pending", 1), ("requeued", 0), ("completing", 1)])
def test_a_requeue_cancels_nothing(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch, state: str, restarts: int
) -> None:
    """While its processes leave, a requeued job looks like a cancelled one but for the count of starts."""
    say_state(job1=JobState(state, queued=True, restarts=restarts))
    assert end(records, monkeypatch, 1) == 1
    assert states(records) == ["requeued", "submitted", "submitted"]


@pytest.mark.parametrize("code", [0, 143])
def test_a_job_that_is_cancelled_says_so(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Its script dies of SIGTERM, with the exit code of whatever it did last."""
    say_state(job1=JobState("completing", queued=True))
    assert end(records, monkeypatch, code) == (code or 1)
    assert states(records) == ["cancelled", "cancelled", "cancelled"]
    assert "Slurm ended its job 1" in records["page"].status.cause


def test_a_part_of_a_stage_does_not_finish_it_but_may_fail_it(
    records: Records, say_state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert end(records, monkeypatch, 0, "part") == 0
    assert (records["draw"].status.name, records["draw"].status.job) == ("running", "1")
    assert end(records, monkeypatch, 5, "part") == 5
    assert states(records) == ["failed", "cancelled", "cancelled"]
    assert "exit code 5" in records["draw"].status.cause


def test_other_parts_do_not_hide_that_one_has_failed(records: Records) -> None:
    records["draw"].note("failed", Start("8_0"), cause="no ink")
    records["draw"].note("part", Start("8_1"))
    assert (records["draw"].status.name, records["draw"].status.cause) == ("failed", "no ink")


def test_a_job_may_say_that_it_runs_before_its_submission_is_written(records: Records) -> None:
    records["draw"].note("running", Start("5"))
    records["draw"].note("submitted", Start("5"))
    assert records["draw"].status.name == "running"
    records["draw"].note("submitted", Start("6"))
    assert (records["draw"].status.name, records["draw"].status.job) == ("submitted", "6")


def test_whoever_looks_writes_down_the_end_of_jobs_that_could_not(records: Records, say_state: Any) -> None:
    gone = {"job2": JobState("cancelled"), "job3": JobState("cancelled")}
    say_state(job1=JobState("running", queued=True), **gone)
    assert settle(records, records.stages) == {"draw": "1"}  # the others were cancelled by hand
    assert states(records) == ["submitted", "cancelled", "cancelled"]
    records["draw"].note("running", Start("1"))
    say_state(job1=JobState("node_fail"))
    assert settle(records, records.stages) == {}
    assert states(records) == ["failed", "cancelled", "cancelled"]
    assert "job 1 ended without a word (node_fail)" in records["draw"].status.cause
    assert table(records).row_count == 3


def test_children_of_a_job_cancelled_by_hand_say_so(records: Records, say_state: Any) -> None:
    say_state(job1=JobState("cancelled"), job2=JobState("cancelled"), job3=JobState("cancelled"))
    settle(records, records.stages)
    assert [records[name].status.cause for name in records.stages] == [
        "its job 1 was cancelled",
        "not run: draw cancelled: its job 1 was cancelled",
        "not run: draw cancelled: its job 1 was cancelled",
    ]
