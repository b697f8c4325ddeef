"""A real Slurm cluster for the session, and runs on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import training_processes as runs
from waiting import until

from mmfm.training.beat import read_beats
from mmfm.training.journal import Event
from mmfm.training.runfolder import RunFolder
from slurm.testbed.cluster import Cluster
from slurm.testbed.layout import Layout
from slurm.testbed.packages import missing_packages

ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "configs" / "pretrain" / "demo.yaml")
SBATCH = ROOT / "slurm" / "sbatch" / "mmfm.sbatch"
STEPS = 40
NODES, PROCESSES = 2, 2
RUN_SECONDS = 300.0
ASK_SECONDS = 3.0  # Slurm is asked this often whether a job has failed
BROKEN = {"FAILED", "TIMEOUT"}  # states in which a job does not go on
# These come first, so that while they wait another worker has something to do; and in this order, because
# pytest-xdist gives a worker its next files while up to two tests of its last one are still to run.
ORDER = ("storage", "chain", "limits", "recorded", "training", "watch", "killed", "scaling", "lost_nodes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder has the marker `slurm` and comes first."""

    def place(item: pytest.Item) -> int:
        if Path(__file__).parent not in item.path.parents:
            return len(ORDER) + 1
        name = item.path.stem.removeprefix("test_")
        return ORDER.index(name) if name in ORDER else len(ORDER)

    for item in items:
        if place(item) <= len(ORDER):
            item.add_marker(pytest.mark.slurm)
    items.sort(key=place)


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

    def events(self, name: str) -> list[Event]:
        """What the journal tells of one kind of event."""
        return [event for event in RunFolder(self.folder).journal.events() if event.name == name]

    def pid(self, start: int, rank: int) -> int:
        """The process of a rank, by its number on the cluster."""
        beats = read_beats(self.folder / "logs" / self.job, start)
        return next(beat.pid for beat in beats if beat.rank == rank)

    def wait_for(self, ready: Callable[[], bool], what: str, may_fail: bool = False) -> None:
        """Wait until `ready()`; the job must not have failed meanwhile, unless it may."""
        ask = time.monotonic() + ASK_SECONDS

        def look() -> bool:
            nonlocal ask
            found = ready()
            if not found and not may_fail and time.monotonic() > ask:
                ask = time.monotonic() + ASK_SECONDS
                state = self.fact("JobState")
                assert state not in BROKEN, f"{state}, no {what}\n{self.log(0)[-4000:]}"
            return found

        until(look, lambda: f"no {what} ({self.fact('JobState')})\n{self.log(0)[-4000:]}", RUN_SECONDS)

    def wait_for_step(self, step: int) -> None:
        """Wait until the metrics tell of a step."""
        self.wait_for(lambda: newest_step(self.folder) >= step, f"step {step}")

    def wait_for_end(self) -> None:
        """Wait until Slurm has the job as completed."""
        self.wait_for(lambda: self.fact("JobState") == "COMPLETED", "end")


Submit = Callable[..., SlurmRun]


@dataclass(frozen=True)
class Breakage:
    """What a test breaks of the cluster, and how it is mended."""

    cluster: Cluster
    apart: set[str] = field(default_factory=set)  # nodes with mounts of their own

    def cut(self, node: str) -> None:
        """Cut the link of a node; its processes live on."""
        self.cluster.run("ip", "link", "set", node, "down")

    def kill_daemon(self, node: str) -> None:
        """Kill the slurmd of a node; the processes of its jobs live on."""
        self.cluster.run("kill", "-9", str(self._daemon(node)))

    def hide(self, folder: Path, node: str) -> None:
        """Let a node see an empty folder in the place of one: as if it were not mounted there."""
        self.kill_daemon(node)
        self.apart.add(node)
        mount = f"mount -t tmpfs tmpfs {folder} && exec {' '.join(self._serve(node))}"
        self.cluster.run("unshare", "--mount", "sh", "-c", mount, node=node)

    def gone(self, process: int) -> bool:
        """Whether a process of the cluster has ended."""
        asked = self.cluster.command("kill", "-0", str(process))
        return subprocess.run(asked, stderr=subprocess.DEVNULL, check=False).returncode != 0

    def repair(self) -> None:
        """Mend links, daemons and drained nodes; returns when all nodes serve again."""
        names = [node.name for node in self.cluster.layout.workers]
        for name in names:
            self.cluster.run("ip", "link", "set", name, "up")
        for name in self.apart | (set(names) - self._nodes("idle")):
            if not self.gone(self._daemon(name)):
                self.kill_daemon(name)  # started anew it reports at once, not when it is next asked
            self.cluster.run(*self._serve(name), node=name)

        def idle() -> bool:
            for name in self._nodes("drain"):
                self.cluster.run("scontrol", "update", f"NodeName={name}", "State=RESUME")
            return self._nodes("idle") == set(names)

        until(idle, self.cluster.status)

    def _daemon(self, node: str) -> int:
        return int(self.cluster.run("cat", f"/run/slurm/slurmd-{node}.pid"))

    def _serve(self, node: str) -> list[str]:
        return ["slurmd", "-N", node, "-f", str(self.cluster.layout.slurm_conf)]

    def _nodes(self, state: str) -> set[str]:
        return set(self.cluster.run("sinfo", "-h", "-N", "-t", state, "-o", "%N").split())


@pytest.fixture
def breakage(cluster: Cluster) -> Iterator[Breakage]:
    """To break links and daemons with; ask for it before `submit`, whose jobs then end before the repair."""
    breakage = Breakage(cluster)
    yield breakage
    breakage.repair()


@pytest.fixture
def submit(cluster: Cluster, shards_folder: Path, tmp_path: Path) -> Iterator[Submit]:
    """submit(*overrides) starts the tiny run by `mmfm pretrain`, on two nodes with two processes each.

    `nodes` and `processes` (per node) give it another size. Runs with a `name` may go on side by side.
    """
    submitted = []

    def start(*overrides: str, name: str = "run", nodes: int = NODES, processes: int = PROCESSES) -> SlurmRun:
        where = [f"cluster.nodes={nodes}", f"cluster.processes={processes}", f"cluster.gpus={processes}"]
        words = settings(
            shards_folder, tmp_path, "cluster=slurm", *where, "cluster.cpus=1", "cluster.check_gpus=false"
        )
        words += ["cluster.memory_gb=1", f"run.name={name}", *overrides]
        cluster.run("mmfm", "pretrain", *words, timeout=RUN_SECONDS)
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
def local_run(shards_folder: Path, make_once: Callable[..., Path]) -> Path:
    """The same run in four processes of this machine, undisturbed."""

    def pretrain(root: Path) -> None:
        mmfm = Path(sys.executable).parent / "mmfm"
        words = settings(shards_folder, root, f"cluster.processes={NODES * PROCESSES}", "cluster.cpus=1")
        done = subprocess.run(
            [mmfm, "pretrain", *words], capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]

    return make_once("local", pretrain) / "run"


def settings(shards: Path, root: Path, *more: str) -> list[str]:
    """Recipe and overrides of the tiny run."""
    where = [f"data.shards={shards}", f"run.root={root}", "run.name=run", f"train.steps={STEPS}"]
    return [RECIPE, *runs.TINY, "train.global_batch=24", *where, *more]  # 24 falls to 2, 3 and 4 ranks


def newest_step(folder: Path) -> int:
    """The step of the last complete line of the metrics; 0 before there is one."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0
