"""Runs as seen from their folders, with written journals and Slurm's answers. The real queue: tests/slurm."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from launch.cli import main
from launch.local.follow import tail
from launch.watching.chronicle import Chronicle
from launch.watching.runjobs import SILENT_SECONDS, RunJobs, find_runs
from launch.watching.statustable import keep_showing, status_table
from launch.watching.watch import Overview, Progress, RunStatus, log_file, overview
from launch.watching.wording import duration
from mmfm.errors import DataError
from mmfm.training.beat import Beat
from mmfm.training.journal import Journal, Start

LOCAL = "20260101-120000-99"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was submitted twice and has done 20 of 100 steps of 16 samples."""
    folder = tmp_path / "runs" / "a"
    for age, job in enumerate(("10", "9")):  # by time, not by number: Slurm's numbers begin anew some day
        logs = folder / "logs" / job
        logs.mkdir(parents=True)
        (logs / f"{job}_submitted.pkl").touch()
        os.utime(logs / f"{job}_submitted.pkl", (time.time() - age - 1,) * 2)
    (folder / "logs" / "10" / "10_0_log.err").write_text("hello\n")
    (folder / "config.yaml").write_text("train: {steps: 100}\n")
    write_metrics(folder, age=0)
    return folder


def write_metrics(folder: Path, age: float) -> None:
    line = {"step": 20, "samples": 320, "loss": 2.5, "samples_per_s": 16.0, "time": time.time() - age}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 21, "los')


def write_journal(run: Path, *events: tuple[str, Start, dict[str, object]]) -> None:
    journal = Journal(run / "journal.jsonl")
    for name, start, values in events:
        journal.append(name, start, **values)


def slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
    """Have only these Slurm programs, each with one answer; they write down how they were called."""
    for name, answer in answers.items():
        (folder / name).write_text(f"#!/bin/sh\necho {name} $@ >> {folder}/told\nprintf '{answer}'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")


def seen(run: Path) -> RunStatus:
    return overview([run]).runs[0]


FIRST, SECOND = Start("10", 0), Start("10", 1)
NODES = {"nodes": ["n1", "n2"], "processes": 4}
RUNNING = "10|RUNNING|None|n[1-2]|1|2026-01-01T10:00:00|"


def test_jobs_are_in_the_order_of_their_submission_and_other_folders_are_none(run: Path) -> None:
    (run / "logs" / "old").mkdir()
    (run / "logs" / LOCAL).mkdir()
    assert RunJobs.of(run).names == ["9", "10", LOCAL]
    assert RunJobs.of(run).on_slurm == ["9", "10"]


def test_runs_are_found_below_a_folder_evaluations_among_them(run: Path) -> None:
    (run / "evals" / "logs" / "11").mkdir(parents=True)
    assert find_runs(run.parents[1]) == [run, run / "evals"] == find_runs(run)
    with pytest.raises(DataError, match="no runs at or below"):
        find_runs(run / "logs")


def test_a_running_job(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(run, ("start", FIRST, NODES), ("left", FIRST, {"step": 9, "cause": "asked to by SIGUSR2"}))
    write_journal(run, ("start", SECOND, NODES))
    slurm(tmp_path, monkeypatch, squeue=RUNNING, sacct="9|CANCELLED by 0|n1")
    assert (seen(run).state, seen(run).nodes, seen(run).starts) == ("starting", "n[1-2]", 2)
    write_journal(run, ("ready", SECOND, {"step": 9}), ("stepped", SECOND, {"step": 10}))
    status = seen(run)
    assert (status.job, status.state, status.failures) == ("10", "running", 0)
    assert status.note == "start 1: saved and left: asked to by SIGUSR2"
    done = status.progress
    assert (done.step, done.steps, done.loss) == (20, 100, 2.5)  # of the last whole line
    assert done.seconds_left == pytest.approx(80)


def test_a_waiting_job_tells_why_and_goes_before_what_was(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = "9|PENDING|Resources||0|2026-01-01T10:00:00|"
    slurm(tmp_path, monkeypatch, squeue=waiting, sacct="10|FAILED|n1")
    status = seen(run)
    assert (status.job, status.state) == ("9", "pending")
    assert status.note == "waits for Resources, expected 2026-01-01 10:00:00"


def test_a_chained_job_that_waits_does_not_hide_the_one_that_runs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(tmp_path, monkeypatch, squeue=f"9|PENDING|Dependency||0|N/A|\\n{RUNNING}", sacct="")
    assert (seen(run).job, seen(run).state) == ("10", "running")


def test_what_is_over_is_found_in_the_accounts_and_in_the_journal(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(tmp_path, monkeypatch, squeue="", sacct="9|CANCELLED by 0|None assigned\\n10|COMPLETED|n1")
    assert seen(run).state == "completed"
    write_journal(run, ("submitted", Start("9"), {}), ("start", FIRST, NODES))
    assert (seen(run).job, seen(run).state) == ("10", "stopped")  # left before its last step
    write_journal(run, ("done", FIRST, {"step": 100}))
    assert seen(run).state == "done"


def test_failures_are_counted_over_the_run_and_the_last_cause_is_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(tmp_path, monkeypatch, squeue="10|PENDING|BeginTime||3|N/A|", sacct="")
    starts = [Start("10", count) for count in range(4)]
    write_journal(
        run,
        *(("start", starts[0], NODES), ("saved", starts[0], {"step": 5})),  # and is not heard of again
        *(("start", starts[1], NODES), ("left", starts[1], {"step": 6, "cause": "preempted"})),
        *(("start", starts[2], NODES), ("saved", starts[2], {"step": 9})),
        ("failed", starts[2], {"cause": "no space left\non the disk", "kind": "crash"}),
    )
    assert (seen(run).starts, seen(run).failures) == (3, 2)
    assert seen(run).note == "waits for BeginTime"
    slurm(tmp_path, monkeypatch, squeue=RUNNING)
    assert seen(run).note == "start 3: no space left"
    write_journal(run, ("given_up", starts[2], {"cause": "3 failures in a row"}))
    slurm(tmp_path, monkeypatch, squeue="", sacct="10|FAILED|n1")
    assert (seen(run).state, seen(run).note) == ("given up", "start 3: 3 failures in a row")


def test_a_run_stays_given_up_until_it_is_submitted_again(run: Path) -> None:
    write_journal(run, ("start", FIRST, NODES), ("given_up", FIRST, {"cause": "3 failures in a row"}))
    write_journal(run, ("failed", FIRST, {"cause": "rank 0: 3 failures in a row", "kind": "user"}))
    assert Chronicle.of(run).given_up
    again = Start("11", 0)
    write_journal(run, ("submitted", again, {"nodes": 1, "processes": 2}))
    assert not Chronicle.of(run).given_up
    write_journal(run, ("start", again, NODES))
    assert Chronicle.of(run).failures == 1


def test_a_start_that_left_before_its_first_step_saved_nothing(run: Path) -> None:
    write_journal(run, ("start", FIRST, NODES), ("left", FIRST, {"cause": "preempted"}))
    assert Chronicle.of(run).last_cause == "start 1: left early: preempted"
    assert list(Chronicle.of(run).told())[-1].endswith(": left before its first step: preempted")


def test_a_save_that_failed_is_told_until_one_succeeds(run: Path) -> None:
    write_journal(
        run, ("start", FIRST, NODES), ("save_failed", FIRST, {"step": 5, "cause": "disk full on n2"})
    )
    assert Chronicle.of(run).last_cause == "start 1: could not save: disk full on n2"
    write_journal(run, ("saved", FIRST, {"step": 10}))
    assert Chronicle.of(run).last_cause == ""


def test_a_slow_run_tells_where_it_is(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm(tmp_path, monkeypatch, squeue=RUNNING)
    write_journal(run, ("start", SECOND, NODES), ("stepped", SECOND, {"step": 10}))
    now = time.time()
    for rank, since in ((0, now - 100), (3, now - 300)):
        Beat(rank, "n2", 1, "waiting for data", 21, since, now).write(run / "logs" / "10", start=1)
    assert seen(run).note == ""
    write_metrics(run, age=200)
    assert seen(run).note == "rank 3 on n2: waiting for data (step 21) for 5 min"


def test_a_folder_in_disorder_does_not_hide_the_others(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(tmp_path, monkeypatch, squeue=RUNNING, sacct="")
    (run / "config.yaml").unlink()
    assert (seen(run).state, seen(run).progress.step) == ("running", 0)
    (run / "config.yaml").write_text("train: {steps: 100}\n")
    (run / "metrics.jsonl").write_text('{"step"}\n')
    assert seen(run).progress.step == 0


def test_a_local_run_is_judged_by_what_it_writes(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "logs" / LOCAL
    folder.mkdir(parents=True)
    write_journal(tmp_path / "a", ("start", Start(LOCAL), {"nodes": ["here"], "processes": 2}))
    write_journal(tmp_path / "a", ("stepped", Start(LOCAL), {"step": 1}))
    assert (seen(tmp_path / "a").state, seen(tmp_path / "a").nodes) == ("running", "here")
    before = time.time() - SILENT_SECONDS - 1
    os.utime(folder, (before, before))
    assert seen(tmp_path / "a").state == "silent"
    (folder / "exits.json").write_text(json.dumps({"processes": 2, "ended": [{"rank": 0, "code": -9}]}))
    assert seen(tmp_path / "a").state == "failed"
    (folder / "exits.json").write_text(json.dumps({"processes": 1, "ended": [{"rank": 0, "code": 0}]}))
    assert seen(tmp_path / "a").state == "stopped"


def test_away_from_slurm_the_folders_are_told_all_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = overview([run])
    assert "login node" in found.trouble
    assert (found.runs[0].state, found.runs[0].progress.step) == ("unknown", 20)


def test_the_table(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(run, ("start", FIRST, NODES), ("failed", FIRST, {"cause": "n1 lost"}))
    write_journal(run, ("start", SECOND, NODES), ("stepped", SECOND, {"step": 10}))
    slurm(tmp_path, monkeypatch, squeue=RUNNING, sacct="")
    told = "10 running n[1-2] 2, 1 failed 20/100 2.500 16 1 min 20 s"
    *_, row, note = printed(overview([run]), 200)
    assert row.split() == [str(run), *told.split()]
    assert note == f"{run}: start 1: n1 lost"


def printed(found: Overview, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(status_table(found, width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_where_there_is_little_room_some_columns_give_way_and_none_is_cut() -> None:
    progress = Progress(12345, 20000, 2.345, 16.0, 8040.0)
    run = RunStatus(Path("runs/first"), "471142", "running", "n[11-18]", 12, 3, progress, "")
    head, _, row = printed(Overview([run]), 80)
    assert head.split() == ["run", "state", "starts", "step", "samples/s", "left"]
    assert row.split()[-4:] == ["2", "h", "14", "min"] and len(row) <= 80
    assert printed(Overview([run]), 60)[0].split() == ["run", "state", "starts", "step", "left"]


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    lines = [f"{'x' * 99}{number}" for number in range(1000)]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    assert tail(tmp_path / "log", 3) == lines[-3:]
    assert len(tail(tmp_path / "log", 1000)) < 1000
    assert tail(tmp_path / "none", 3) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_shown_again_and_again_until_stopped(terminal: bool) -> None:
    shown = iter(["once", "twice"])
    console = Console(file=io.StringIO(), force_terminal=terminal)

    def show() -> str:
        try:
            return next(shown)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        keep_showing(show, 0, console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert [word for word in ("once", "twice", "Ctrl-C") if word in told] == (
        ["once", "twice", "Ctrl-C"] if terminal else ["once", "twice"]
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3601, "1 h"), (8040, "2 h 14 min"), (90000, "1 d 1 h")],
)
def test_durations_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_picture_of_the_table_asks_the_web_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "logs" / LOCAL).mkdir(parents=True)
    assert main(["status", str(tmp_path), "--svg", str(tmp_path / "out" / "status.svg")]) == 0
    picture = (tmp_path / "out" / "status.svg").read_text()
    assert "running" in picture and LOCAL in picture
    assert "@font-face" not in picture and "url(http" not in picture


def test_the_journal_in_words(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_journal(
        run,
        ("submitted", FIRST, {"nodes": 2, "processes": 4}),
        ("start", FIRST, NODES),
        ("ready", FIRST, {"step": 0, "allreduce_gbps": 1.234, "allreduce_ms": 5.6}),
        ("stepped", FIRST, {"step": 1}),
        ("saved", FIRST, {"step": 20, "seconds": 0.4}),
        ("failed", FIRST, {"cause": "killed", "kind": "killed", "ranks": [3], "nodes": ["n2"]}),
        ("requeued", FIRST, {"excluded": ["n2"]}),
        ("wedded", FIRST, {}),
    )
    assert main(["status", "--events", str(run)]) == 0
    said = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "job 10: submitted for 2 nodes, 4 processes",
        "job 10, start 1: started on n1, n2, 4 processes",
        "job 10, start 1: ready to begin; all-reduce 1.23 GB/s, 5.6 ms",
        "job 10, start 1: first step of this start done: step 1",
        "job 10, start 1: saved step 20 in 0.4 s",
        "job 10, start 1: failed (killed, rank 3, on n2): killed",
        "job 10, start 1: requeued without n2",
        "job 10, start 1: wedded {}",
    ]
    assert main(["status", "--events", str(run.parent)]) == 2
    assert "no journal" in capsys.readouterr().err


def test_logs_of_any_rank_and_job(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm(tmp_path, monkeypatch, squeue="", sacct="")
    (run / "logs" / "9" / "9_3_log.err").write_text("from before\n")
    assert main(["logs", str(run)]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert main(["logs", str(run), "--job", "9", "--rank", "3"]) == 0
    assert capsys.readouterr().out == "from before\n"
    with pytest.raises(DataError, match=r"no log of rank 3 .* ranks with one: 0"):
        log_file(run, 3)
    with pytest.raises(DataError, match="no job 11; its jobs: 9, 10"):
        log_file(run, 0, "11")


def test_logs_of_a_local_run_need_no_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a" / "logs" / LOCAL).mkdir(parents=True)
    (tmp_path / "a" / "logs" / LOCAL / f"{LOCAL}_1_log.err").write_text("here\n")
    assert main(["logs", str(tmp_path / "a"), "--rank", "1"]) == 0
    assert capsys.readouterr().out == "here\n"
