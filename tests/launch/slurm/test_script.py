"""The sbatch script, as it is shown and would be submitted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from launch.recipes.commands import make_job
from launch.slurm.script import sbatch_script, submit_slurm, teardown_lines
from mmfm.config.schema import ClusterConfig, EvaluateConfig, PretrainConfig, RunConfig
from mmfm.errors import ConfigError, UserError

CLUSTER: dict[str, Any] = {
    "kind": "slurm",
    "nodes": 2,
    "processes": 4,
    "cpus": 8,
    "gpus": "a100:4",
    "hours": 1.5,
}


def script(tmp_path: Path, **changes: Any) -> list[str]:
    cluster = ClusterConfig(**{**CLUSTER, **changes})
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="big"), cluster=cluster)
    return sbatch_script(make_job("pretrain", config), cluster).splitlines()


def test_one_task_for_each_gpu_with_its_cores(tmp_path: Path) -> None:
    lines = script(tmp_path)
    assert lines[0] == "#!/bin/bash"
    for wanted in (
        "--nodes=2",
        "--ntasks-per-node=4",
        "--cpus-per-task=8",
        "--gpus-per-node=a100:4",
        "--time=90",
        "--job-name=mmfm-pretrain",
        "--open-mode=append",
        "--requeue",
        "--signal=USR2@90",
    ):
        assert f"#SBATCH {wanted}" in lines
    srun = next(line for line in lines if line.startswith("srun "))
    assert "--kill-on-bad-exit=1" in srun and "--cpus-per-task=8" in srun
    assert f"{tmp_path}/big/logs/%j/%j_%t_log.err" in srun  # a log for each rank
    assert lines.index("export OMP_NUM_THREADS=8") < lines.index(srun)
    assert "export HF_HUB_OFFLINE=1" in lines


def test_site_settings_appear_only_if_given(tmp_path: Path) -> None:
    assert not any("partition" in line or "--mem" in line or "account" in line for line in script(tmp_path))
    setup = ["module load cuda", "export A='b c'"]
    lines = script(tmp_path, partition="gpu", memory_gb=128, setup=setup, extra={"mail-type": "END,FAIL"})
    assert {"#SBATCH --partition=gpu", "#SBATCH --mem=128GB", "#SBATCH --mail-type=END,FAIL"} <= set(lines)
    start = next(number for number, line in enumerate(lines) if line.startswith("srun "))
    assert set(setup) <= set(lines[:start])


def test_a_range_of_nodes_is_not_narrowed_by_a_number_of_tasks(tmp_path: Path) -> None:
    lines = script(tmp_path, nodes=16, min_nodes=2)
    assert {"#SBATCH --nodes=2-16", "#SBATCH --mincpus=32"} <= set(lines)
    assert not any(line.startswith("#SBATCH") and "tasks" in line for line in lines)
    srun = next(line for line in lines if line.startswith("srun "))
    assert "--ntasks-per-node=4 --cpus-per-task=8" in srun


def test_a_profile_says_how_its_site_wants_things(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        min_nodes=1,
        gpu_flag="gres",
        gres=["lscratch:100"],
        exclude="n[3-4]",
        save_seconds=300,
        modules=["cuda/12.4", "a b"],
        environment={"NCCL_DEBUG": "WARN"},
        python="apptainer exec --nv image.sif python",
    )
    for wanted in (
        "--nodes=1-2",
        "--gres=gpu:a100:4,lscratch:100",
        "--exclude='n[3-4]'",
        "--signal=USR2@300",
    ):
        assert f"#SBATCH {wanted}" in lines
    assert not any("--gpus-per-node" in line for line in lines)
    srun = next(line for line in lines if line.startswith("srun "))
    assert "apptainer exec --nv image.sif python -u -m submitit" in srun
    before = lines[: lines.index(srun)]
    assert {"module load cuda/12.4 || exit 2", "module load 'a b' || exit 2"} <= set(before)
    assert "export NCCL_DEBUG=WARN" in before


def test_what_follows_a_failure_is_decided_after_srun(tmp_path: Path) -> None:
    lines = script(tmp_path)
    srun = next(line for line in lines if line.startswith("srun "))
    assert f"-m launch.slurm.aftermath {tmp_path}/big/logs/%j" in lines[-2] and lines[-1] == "exit $?"
    assert not any(
        line and not line.startswith("#") for line in lines[lines.index(srun) + 1 : -2]
    )  # keeps $?
    assert any(line.startswith('echo "mmfm: start') for line in lines[: lines.index(srun)])


def test_the_script_outlives_the_requeue_that_is_asked_for_after_srun(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nkill -TERM $PPID $$\necho "$@"\nexit 5\n')
    python.chmod(0o755)
    text = "\n".join(["(exit 7)", *teardown_lines(str(python), Path("logs/%j"))])
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (5, "-m launch.slurm.aftermath logs/%j 7\n")


def test_evaluations_have_logs_of_their_own_and_are_not_started_again_by_us(tmp_path: Path) -> None:
    config = EvaluateConfig(run=RunConfig(root=str(tmp_path), name="big"), checkpoint="c", shards="s")
    cluster = ClusterConfig(kind="slurm", cpus=1, min_nodes=1, nodes=1, chain=3)
    text = sbatch_script(make_job("evaluate", config), cluster)
    assert f"{tmp_path}/big/evals/logs/%j" in text and "launch.slurm.aftermath" not in text
    assert "#SBATCH --requeue" in text


def test_jobs_of_a_chain_are_not_requeued(tmp_path: Path) -> None:
    lines = script(tmp_path, chain=3)
    assert "#SBATCH --no-requeue" in lines and "#SBATCH --requeue" not in lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpus": 0}, r"cluster\.cpus is not set"),
        ({"gpus": "a100:2"}, "each GPU has one process"),
        ({"gpus": "a100"}, "a type and a number"),
        ({"nodes": 0}, "must be at least 1"),
        ({"min_nodes": 3}, r"cluster\.min_nodes=3 is more than cluster\.nodes=2"),
    ],
)
def test_settings_that_make_no_job_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        script(tmp_path, **change)


def test_without_sbatch_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="big"))
    with pytest.raises(UserError, match="--dry-run"):
        submit_slurm(make_job("pretrain", config), ClusterConfig(**CLUSTER))


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sbatch that keeps what it is given and counts jobs, and a squeue that knows none."""
    (tmp_path / "sbatch").write_text(
        f"#!/bin/sh\nn=$(/bin/ls {tmp_path} | /bin/grep -c submitted)\n"
        f'/bin/cp "$1" {tmp_path}/submitted$n.sh\necho Submitted batch job 471$n\n'
    )
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    for program in ("sbatch", "squeue"):
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_with_sbatch_the_same_script_is_submitted(sbatch: Path) -> None:
    cluster = ClusterConfig(**CLUSTER)
    job = make_job("pretrain", PretrainConfig(run=RunConfig(root=str(sbatch), name="big"), cluster=cluster))
    assert submit_slurm(job, cluster) == "4710"
    assert (sbatch / "submitted0.sh").read_text() == sbatch_script(job, cluster)
    assert (sbatch / "big" / "logs" / "4710" / "4710_submitted.pkl").is_file()
    (event,) = job.journal.events()
    assert (event.name, event.start.job, event.values["nodes"]) == ("submitted", "4710", 2)


def test_a_chain_is_queued_one_behind_the_other(sbatch: Path) -> None:
    cluster = ClusterConfig(**CLUSTER, chain=3)
    job = make_job("pretrain", PretrainConfig(run=RunConfig(root=str(sbatch), name="big"), cluster=cluster))
    assert submit_slurm(job, cluster) == "4712"
    texts = [(sbatch / f"submitted{number}.sh").read_text() for number in range(3)]
    assert "--dependency" not in texts[0]
    assert "--dependency=afterany:4710" in texts[1] and "--dependency=afterany:4711" in texts[2]
    assert [event.values["after"] for event in job.journal.events()] == ["", "4710", "4711"]
