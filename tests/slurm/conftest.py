"""A real Slurm cluster for the session, and runs on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import training_processes as runs

from slurm.testbed.cluster import Cluster
from slurm.testbed.layout import Layout
from slurm.testbed.packages import missing_packages

ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "configs" / "pretrain" / "demo.yaml")
SBATCH = ROOT / "slurm" / "sbatch" / "mmfm.sbatch"
STEPS = 40
NODES, PROCESSES = 2, 2
RUN_SECONDS = 300.0
POLL_SECONDS = 0.2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder has the marker `slurm`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Four nodes with accounting. They end with this process, however that ends."""
    missing = missing_packages()
    if missing:
        pytest.skip(f"Debian packages not installed: {', '.join(missing)} (`make test` installs them)")
    folder = tempfile.mkdtemp(prefix="mmfm-cluster-")
    up = Cluster.up(Layout(folder), owned=True)
    yield up
    up.down()


@dataclass(frozen=True)
class SlurmRun:
    """A pretraining run that was submitted."""

    cluster: Cluster
    folder: Path
    job: str

    def fact(self, name: str) -> str:
        """What `scontrol show job` says of the job: JobState, Restarts, NodeList."""
        words = self.cluster.run("scontrol", "show", "job", self.job).split()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def log(self, rank: int) -> str:
        """What a rank printed, over all starts."""
        parts = [self.folder / "logs" / self.job / f"{self.job}_{rank}_log.{end}" for end in ("out", "err")]
        return "".join(path.read_text() for path in parts if path.exists())

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = RUN_SECONDS) -> None:
        """Wait until `ready()`; the job must not have failed meanwhile."""
        end = time.monotonic() + seconds
        while not ready():
            state = self.fact("JobState")
            assert state not in {"FAILED", "NODE_FAIL", "TIMEOUT"}, f"{state}\n{self.log(0)[-4000:]}"
            assert time.monotonic() < end, f"no {what} after {seconds} s ({state})\n{self.log(0)[-4000:]}"
            time.sleep(POLL_SECONDS)

    def wait_for_step(self, step: int) -> None:
        """Wait until the metrics tell of a step."""
        self.wait_for(lambda: newest_step(self.folder) >= step, f"step {step}")

    def wait_for_end(self) -> None:
        """Wait until Slurm has the job as completed."""
        self.wait_for(lambda: self.fact("JobState") == "COMPLETED", "end")


Submit = Callable[..., SlurmRun]


@pytest.fixture
def submit(cluster: Cluster, shards_folder: Path, tmp_path: Path) -> Iterator[Submit]:
    """submit(*overrides) starts the tiny run on two nodes with two processes each, by `mmfm pretrain`.

    Runs with a `name` of their own may go on side by side.
    """
    submitted = []

    def start(*overrides: str, name: str = "run") -> SlurmRun:
        where = [f"cluster.nodes={NODES}", f"cluster.processes={PROCESSES}", f"cluster.gpus={PROCESSES}"]
        words = settings(
            shards_folder, tmp_path, "cluster=slurm", *where, "cluster.cpus=1", "cluster.check_gpus=false"
        )
        words += ["cluster.memory_gb=1", f"run.name={name}", *overrides]
        cluster.run("mmfm", "pretrain", *words, timeout=120)
        jobs = [path.name for path in (tmp_path / name / "logs").iterdir() if path.name.isdigit()]
        submitted.append(SlurmRun(cluster, tmp_path / name, max(jobs, key=int)))
        return submitted[-1]

    yield start
    for run in submitted:
        cluster.run("scancel", run.job)


@pytest.fixture
def submit_by_hand(cluster: Cluster, shards_folder: Path, tmp_path: Path) -> Iterator[Submit]:
    """submit_by_hand(*overrides) starts the tiny run on two nodes with a process each, by plain sbatch."""
    size = ("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=1", "--mem=1G")

    def start(*overrides: str) -> SlurmRun:
        words = settings(shards_folder, tmp_path, "cluster=testbed", *overrides)
        told = ("sbatch", "--parsable", f"--chdir={tmp_path}", *size, str(SBATCH), "pretrain", *words)
        return SlurmRun(cluster, tmp_path / "run", cluster.run(*told).strip())

    yield start
    cluster.run("scancel", "--me")


@pytest.fixture(scope="session")
def local_run(shards_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in four processes of this machine, undisturbed."""
    root = tmp_path_factory.mktemp("local")
    mmfm = Path(sys.executable).parent / "mmfm"
    words = settings(shards_folder, root, f"cluster.processes={NODES * PROCESSES}", "cluster.cpus=1")
    done = subprocess.run(
        [mmfm, "pretrain", *words], capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return root / "run"


def settings(shards: Path, root: Path, *more: str) -> list[str]:
    """Recipe and overrides of the tiny run."""
    where = [f"data.shards={shards}", f"run.root={root}", "run.name=run", f"train.steps={STEPS}"]
    return [RECIPE, *runs.TINY, "train.global_batch=24", *where, *more]  # 24 falls to 2, 3 and 4 ranks


def newest_step(folder: Path) -> int:
    """The step of the last complete line of the metrics; 0 before there is one."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0
