"""The scripts of a job array, as sbatch gets them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission, JobPaths

from launch.recipes.commands import make_job
from launch.slurm import array
from launch.slurm.array import Member, submit_array
from launch.slurm.script import sbatch_script
from launch.slurm.terms import Terms, stage_of, stage_terms
from launch.start.job import Job
from mmfm.config.schema import ClusterConfig, PretrainConfig, RunConfig
from mmfm.errors import UserError

CLUSTER = ClusterConfig(kind="slurm", processes=2, gpus="2", cpus=3, partition="gpu")


def member(root: Path, name: str, terms: Terms = Terms()) -> Member:  # noqa: B008
    return Member(make_job("pretrain", PretrainConfig(run=RunConfig(name, str(root)))), terms)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch that keeps what it gets as submitted.sh."""
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n/bin/cp "$1" {tmp_path}/submitted.sh\necho Submitted batch job 50\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    return tmp_path / "submitted.sh"


def options(script: Path) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.read_text().splitlines() if "#SBATCH" in line]
    found = [line.partition("=") for line in lines]
    assert len({name for name, _, _ in found}) == len(found)  # sbatch would silently take the last
    return {name: value for name, _, value in found}


def test_an_array_asks_for_what_each_member_needs(tmp_path: Path, sbatch: Path) -> None:
    members = [member(tmp_path, name) for name in ("a", "b", "c")]
    jobs = submit_array(members, CLUSTER, tmp_path / "own", "tries", limit=2, after=["7", "9_0", "9_1"])
    assert jobs == ["50_0", "50_1", "50_2"]
    given = options(sbatch)
    assert given["array"] == "0-2%2"
    assert given["dependency"] == "afterok:7:9" and given["kill-on-invalid-dep"] == "yes"
    assert (given["partition"], given["ntasks-per-node"], given["cpus-per-task"]) == ("gpu", "2", "3")
    assert given["job-name"] == "mmfm-tries"


def test_each_task_does_what_its_job_alone_would_do(tmp_path: Path, sbatch: Path) -> None:
    """The task's script, with srun in place of the cluster, writes where the run's other jobs do."""
    marks = [Terms(setup=(f"echo mark-{name} >&2",)) for name in "ab"]
    members = [member(tmp_path, name, mark) for name, mark in zip("ab", marks, strict=True)]
    cluster = replace(CLUSTER, setup=["echo site-%j >&2"])
    submit_array(members, cluster, tmp_path / "own", "tries")
    alone = sbatch_script(members[1].job, cluster)
    assert (tmp_path / "b" / "logs" / "50_1" / "50_1_submitted.pkl").is_file()
    srun = sbatch.parent / "bin" / "srun"
    srun.write_text('#!/bin/sh\necho "$@" >&2\n')
    srun.chmod(0o755)
    task = {"SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_NODELIST": "n1"}
    subprocess.run(["bash", sbatch], env={**os.environ, **task}, check=True, timeout=60)
    log = (tmp_path / "b" / "logs" / "50_1" / "50_1_0_log.err").read_text()
    assert "mark-b" in log and "mark-a" not in log
    assert "site-%j" in log  # not ours to change
    command = next(line for line in alone.splitlines() if line.startswith("srun "))
    assert command.removeprefix("srun ").replace("'", "").replace("%j", "%A_%a") in log
    assert not (tmp_path / "a" / "logs" / "50_0" / "50_0_0_log.err").exists()


def test_a_second_array_leaves_the_scripts_of_the_first(tmp_path: Path, sbatch: Path) -> None:
    submit_array([member(tmp_path, "a"), member(tmp_path, "b")], CLUSTER, tmp_path / "own", "tries")
    first = sbatch.read_text()
    kept = {path: path.read_text() for path in (tmp_path / "own").rglob("member_*.sh")}
    with pytest.MonkeyPatch.context() as later:
        later.setattr("launch.slurm.array.time.strftime", lambda form: "later")
        submit_array([member(tmp_path, "b"), member(tmp_path, "c")], CLUSTER, tmp_path / "own", "tries")
    assert sbatch.read_text() != first
    assert {path: path.read_text() for path in kept} == kept


def test_what_all_tasks_run_is_there_before_anything_slow(
    tmp_path: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm may start them at once; they wait a minute, and a journal on a busy disk may take a second."""
    seen: list[int] = []
    monkeypatch.setattr(
        array,
        "note_submission",
        lambda *_: seen.append(len(list(tmp_path.glob("*/logs/50_*/*_submitted.pkl")))),
    )
    program = tmp_path / "bin" / "sbatch"
    program.write_text(program.read_text() + f"ls -d {tmp_path}/*/logs/.*.pkl > {tmp_path}/drafts\n")
    submit_array([member(tmp_path, name) for name in "abc"], CLUSTER, tmp_path / "own", "tries")
    assert seen == [3, 3, 3]
    assert len((tmp_path / "drafts").read_text().splitlines()) == 3  # written before sbatch was asked


def test_what_slurm_says_of_a_refused_array_is_passed_on(tmp_path: Path, sbatch: Path) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.write_text("#!/bin/sh\necho 'Invalid partition name' >&2\nexit 1\n")
    with pytest.raises(UserError, match="Invalid partition name"):
        submit_array([member(tmp_path, "a"), member(tmp_path, "b")], CLUSTER, tmp_path / "own", "x")
    assert not list(tmp_path.rglob("*.pkl"))


def test_the_pickle_is_the_members_own_job(tmp_path: Path, sbatch: Path) -> None:
    submit_array([member(tmp_path, "a"), member(tmp_path, "b")], CLUSTER, tmp_path / "own", "tries")
    path = tmp_path / "b" / "logs" / "50_1" / "50_1_submitted.pkl"
    job = DelayedSubmission.load(path).function
    assert isinstance(job, Job) and job.run_folder == str(tmp_path / "b")


def test_the_script_kept_with_a_task_tells_of_which_stage_it_is(tmp_path: Path, sbatch: Path) -> None:
    terms = [stage_terms(tmp_path / "p q", f"tune.{name}") for name in "ab"]
    members = [member(tmp_path, name, mark) for name, mark in zip("ab", terms, strict=True)]
    submit_array(members, CLUSTER, tmp_path / "own", "tries")
    kept = JobPaths(tmp_path / "b" / "logs" / "50_1", job_id="50_1").submission_file
    assert stage_of(kept.read_text()) == (tmp_path / "p q", "tune.b")
    assert stage_of(sbatch_script(members[0].job, CLUSTER)) is None
