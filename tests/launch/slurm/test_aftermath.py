"""What becomes of a job whose start ended badly."""

from __future__ import annotations

import errno
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from launch.slurm.aftermath import aftermath
from launch.start.claim import GivenUpError, give_up
from launch.start.job import Job
from launch.watching.chronicle import Chronicle
from mmfm.config.schema import PretrainConfig
from mmfm.training.failure import Failure, leave
from mmfm.training.journal import Start

START = Start("7", 0)
KILLED = "mmfm: start 1 on n[1-2]\nsrun: error: n2: task 1: Killed\n"


@pytest.fixture
def logs(scontrol: Path) -> Path:
    (scontrol / "run" / "logs" / "7").mkdir(parents=True)
    (scontrol / "run" / "logs" / "7" / "log").write_text(KILLED)
    return scontrol / "run" / "logs" / "7"


@pytest.fixture
def job(logs: Path) -> Job:
    config = PretrainConfig()
    config.cluster.kind, config.cluster.nodes, config.cluster.cpus = "slurm", 2, 1
    config.run.name = "run"
    config.data.shards = "shards"
    job = Job(
        "pretrain", "none:none", "mmfm.config.schema:PretrainConfig", asdict(config), str(logs.parents[1])
    )
    job.journal.claim(START, nodes=["n1", "n2"], processes=2)
    return job


def changes(folder: Path) -> list[str]:
    told = (folder / "told").read_text().splitlines() if (folder / "told").exists() else []
    return [words for words in told if not words.startswith("show")]


def names(job: Job) -> list[str]:
    return [event.name for event in job.journal.events()]


def ended(job: Job, logs: Path, code: int = 1) -> int:
    return aftermath(job, logs, logs / "log", code)


def test_a_good_end_needs_nothing(job: Job, logs: Path, scontrol: Path) -> None:
    assert ended(job, logs, code=0) == 0
    assert names(job) == ["start"] and not changes(scontrol)


def test_a_process_that_aborts_when_all_is_saved_costs_nothing(
    job: Job, logs: Path, scontrol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (logs.parents[1] / "checkpoints" / "step_00000040").mkdir(parents=True)
    job.journal.append("done", START, step=40)
    assert ended(job, logs, code=134) == 0
    assert "the run is done, though job 7, start 1 ended with 134" in capsys.readouterr().err
    assert names(job) == ["start", "done"] and not changes(scontrol)


def test_a_killed_rank_is_named_and_the_job_starts_again(
    job: Job, logs: Path, scontrol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(job, logs, code=137) == 137
    assert "job 7, start 1 failed: rank 1 on n2: Killed" in capsys.readouterr().err
    assert names(job) == ["start", "failed", "requeued"]
    assert changes(scontrol) == ["requeue 7"]


def test_a_lost_node_that_still_ends_is_not_the_cause(job: Job, logs: Path) -> None:
    (logs / "log").write_text(f"srun: error: n9: task 0: Exited with exit code 2\n{KILLED.splitlines()[1]}\n")
    ended(job, logs)
    assert job.journal.events()[1].values["nodes"] == ["n2"]


def test_a_users_mistake_is_not_repeated(job: Job, logs: Path, scontrol: Path) -> None:
    leave(logs, 0, Failure(0, "user", "the shards are gone", "DataError", "n1"))
    assert ended(job, logs) == 2
    assert names(job) == ["start", "failed"] and not changes(scontrol)


def test_bad_nodes_are_excluded(job: Job, logs: Path, scontrol: Path) -> None:
    (scontrol / "nodes").write_text("n1\nn2\nn3\n")
    leave(logs, 0, Failure(0, "node", "n2: no ib0", "BadNodeError", "n1", bad_nodes=["n2"]))
    ended(job, logs)
    assert changes(scontrol) == ["requeue 7", "update JobId=7 ExcNodeList=n2"]


def test_bad_nodes_stay_if_too_few_others_are_there(
    job: Job, logs: Path, scontrol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scontrol / "nodes").write_text("n1\nn2\n")
    leave(logs, 0, Failure(0, "node", "n2: no ib0", "BadNodeError", "n1", bad_nodes=["n2"]))
    ended(job, logs)
    assert changes(scontrol) == ["requeue 7"]
    assert "n2 not excluded: 1 other nodes can be used, 2 are needed" in capsys.readouterr().err


def test_nodes_excluded_before_do_not_count_as_others(job: Job, logs: Path, scontrol: Path) -> None:
    (scontrol / "nodes").write_text("n1\nn2\nn3\n")
    (scontrol / "excluded").write_text("n3")
    leave(logs, 0, Failure(0, "node", "n2: no ib0", "BadNodeError", "n1", bad_nodes=["n2"]))
    ended(job, logs)
    assert changes(scontrol) == ["requeue 7"]


def test_where_every_node_is_bad_it_is_not_the_nodes(job: Job, logs: Path, scontrol: Path) -> None:
    (scontrol / "nodes").write_text("n1\nn2\nn3\nn4\nn5\n")
    leave(logs, 0, Failure(0, "node", "no ib0", "BadNodeError", "n1", bad_nodes=["n1", "n2"]))
    ended(job, logs)
    assert changes(scontrol) == ["requeue 7"]


def test_a_job_whose_failures_cannot_be_counted_stays_down(
    job: Job, logs: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mmfm.training.journal.Journal.append", full)
    assert ended(job, logs) == 1
    assert not changes(scontrol)
    told = capsys.readouterr().err
    assert "rank 1 on n2: Killed" in told and "No space left on device. The run stays down" in told


def test_a_crash_loop_ends_with_all_causes(
    job: Job, logs: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(job, logs)
    for count in ("1", "2"):
        job.journal.claim(Start("7", int(count)), nodes=["n1", "n2"], processes=2)
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
        (scontrol / "restarts").write_text(count)
        (logs / "log").write_text(f"srun: error: n1: task 0: Exited with exit code 1{count}\n")
        code = ended(job, logs)
    assert code == 1 and names(job)[-2:] == ["failed", "given_up"]
    assert changes(scontrol) == ["requeue 7"] * 2
    told = capsys.readouterr().err
    assert "3 starts in a row failed" in told and "the run stays down" in told
    for count in (1, 2, 3):
        assert f"  job 7, start {count}: rank" in told


def test_a_checkpoint_begins_the_count_anew(
    job: Job, logs: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in range(4):
        start = Start("7", count)
        job.journal.claim(start, nodes=["n1", "n2"], processes=2)
        job.journal.append("saved", start, step=count + 1)
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(count))
        (scontrol / "restarts").write_text(str(count))
        ended(job, logs)
    assert changes(scontrol) == ["requeue 7"] * 4


def test_a_checkpoint_of_a_step_that_was_saved_before_does_not(
    job: Job, logs: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in range(3):
        start = Start("7", count)
        job.journal.claim(start, nodes=["n1", "n2"], processes=2)
        job.journal.append("saved", start, step=110)  # found damaged by the next start, which saves it again
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(count))
        (scontrol / "restarts").write_text(str(count))
        ended(job, logs)
    assert changes(scontrol) == ["requeue 7"] * 2 and names(job)[-1] == "given_up"


def test_a_start_that_was_taken_over_leaves_all_to_the_later_one(
    job: Job, logs: Path, scontrol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.journal.claim(Start("7", 1), nodes=["n3", "n4"], processes=2)
    assert ended(job, logs) == 1
    assert "job 7, start 2 has the run" in capsys.readouterr().err
    assert "failed" not in names(job) and not changes(scontrol)


def test_a_start_that_failed_before_it_took_the_run_is_not_a_late_one(
    job: Job, logs: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    (scontrol / "restarts").write_text("1")
    ended(job, logs)
    assert names(job) == ["start", "failed", "requeued"]
    assert job.journal.events()[1].start == Start("7", 1)


def test_a_start_that_slurm_replaces_knows_it_before_the_later_one_has_begun(
    job: Job, logs: Path, scontrol: Path
) -> None:
    (scontrol / "restarts").write_text("1")
    ended(job, logs)
    assert names(job) == ["start"] and not changes(scontrol)


@pytest.fixture
def chain(job: Job, scontrol: Path) -> Path:
    """The job is the first of a chain of three. Returns the file of what scancel is told."""
    job.config["cluster"]["chain"] = 3
    for name, after in (("7", ""), ("8", "7"), ("9", "8")):
        job.journal.append("submitted", Start(name), after=after)
    (scontrol / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {scontrol}/cancelled\n')
    (scontrol / "scancel").chmod(0o755)
    return scontrol / "cancelled"


def test_a_chain_is_not_requeued_and_its_last_job_promises_no_next_one(
    job: Job,
    logs: Path,
    scontrol: Path,
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended(job, logs) == 1
    assert "the next job of the chain goes on" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    assert ended(job, logs) == 1
    told = capsys.readouterr().err
    assert "the last of cluster.chain=3: submit the command again" in told and "next job" not in told
    assert names(job).count("failed") == 2 and "requeued" not in names(job)
    assert not changes(scontrol) and not chain.exists()


def test_what_would_only_fail_again_ends_the_rest_of_the_chain(
    job: Job, logs: Path, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(logs, 0, Failure(0, "user", "the loss is not finite", "NonFiniteLossError", "n1"))
    assert ended(job, logs) == 2
    assert chain.read_text() == "9\n8\n"  # none begins because the one before it is gone
    assert "job 8 of the chain is cancelled" in capsys.readouterr().err


def test_whoever_came_too_late_leaves_the_rest_of_the_chain_alone(job: Job, logs: Path, chain: Path) -> None:
    leave(logs, 0, Failure(0, "stale", "job 8 has the run", "StaleError", "n1"))
    assert ended(job, logs) == 2
    assert not chain.exists()


def test_a_chain_that_fails_too_often_ends(job: Job, logs: Path, chain: Path) -> None:
    job.config["cluster"]["max_failures"] = 1
    assert ended(job, logs) == 1
    assert names(job)[-1] == "given_up" and chain.read_text() == "9\n8\n"


def test_a_start_that_gave_the_run_up_itself_has_said_all(job: Job, logs: Path, scontrol: Path) -> None:
    with pytest.raises(GivenUpError) as raised:
        give_up(job.journal, START, [])
    leave(logs, 0, Failure(0, "user", str(raised.value), "GivenUpError", "n1"))
    assert ended(job, logs) == 2
    assert names(job) == ["start", "given_up"] and not changes(scontrol)
    assert Chronicle(job.journal.events()).given_up
