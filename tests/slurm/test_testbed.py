"""The test cluster itself: what it offers, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from mmfm.errors import UserError
from slurm.testbed.cluster import Cluster
from slurm.testbed.layout import Layout

MMFM = str(Path(sys.executable).parent / "mmfm")


def test_nodes_have_gpus_names_and_addresses_of_their_own(cluster: Cluster) -> None:
    nodes = cluster.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %G").splitlines()
    assert [line.split() for line in nodes] == [[f"n{i}", "gpu:2"] for i in (1, 2, 3, 4)]
    told = cluster.run(
        *("srun", "--nodes=4", "--gres=gpu:2", "--label", "bash", "-c"),
        "echo $(hostname) $CUDA_VISIBLE_DEVICES $(ip -br -4 addr show eth0)",
    )
    seen = sorted(line.partition(": ")[2].split() for line in told.splitlines())
    assert [(words[0], words[1], words[-1]) for words in seen] == [
        (f"n{i}", "0,1", f"10.231.0.{10 + i}/24") for i in (1, 2, 3, 4)
    ]


def test_more_gpus_than_a_node_has_are_refused(cluster: Cluster) -> None:
    with pytest.raises(subprocess.SubprocessError, match="not available"):
        cluster.run("srun", "--gres=gpu:3", "true")


def test_jobs_are_accounted_for(cluster: Cluster) -> None:
    job = cluster.run("sbatch", "--parsable", "--wait", "--output=/dev/null", "--wrap", "srun true").strip()

    def told() -> str:
        return cluster.run("sacct", "-n", "-X", "-j", job, "-o", "State,AllocTRES")

    until(lambda: "COMPLETED" in told(), told)
    assert "billing=1" in told()


def test_a_command_runs_on_the_node_that_is_named(cluster: Cluster) -> None:
    assert cluster.run("hostname", node="n3") == "n3\n"
    assert cluster.run("hostname") == "head\n"
    with pytest.raises(UserError, match="n1, n2, n3, n4"):
        cluster.run("hostname", node="n5")


def processes_of(folder: Path) -> list[str]:
    """Command lines that name a folder, whoever runs them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words and path.parent.name != str(os.getpid()):
            found.append(words)
    return found


@pytest.fixture
def second(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A folder for another cluster beside that of the session, cleaned up if the test fails."""
    yield tmp_path / "second"
    if (tmp_path / "second").exists():
        subprocess.run([MMFM, "cluster", "down", "--folder", tmp_path / "second"], timeout=60, check=False)


def test_up_and_down_by_command_leave_nothing(second: Path) -> None:
    def mmfm(action: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [MMFM, "cluster", action, "--folder", str(second), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    up = mmfm("up", "--nodes", "1", "--no-accounting")
    assert up.returncode == 0, up.stderr
    again = mmfm("up")
    assert again.returncode == 2 and "is up at" in again.stderr
    assert "n1" in mmfm("status").stdout
    assert mmfm("exec", "--node", "n1", "hostname").stdout == "n1\n"
    assert mmfm("exec", "--", "sh", "-c", "exit 7").returncode == 7
    assert processes_of(second)
    mounts = Path("/proc/mounts").read_text()
    assert mmfm("down").returncode == 0
    assert not second.exists()
    assert not processes_of(second)
    assert Path("/proc/mounts").read_text() == mounts and not Path("/run/netns/n1").exists()
    gone = mmfm("status")
    assert gone.returncode == 2 and "no test cluster" in gone.stderr


OWNER = """
import sys, time
from slurm.testbed.cluster import Cluster
from slurm.testbed.layout import Layout
Cluster.up(Layout(sys.argv[1], nodes=1, accounting=False), owned=True)
print("up", flush=True)
time.sleep(600)
"""


def test_a_cluster_does_not_outlive_its_owner(second: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, second], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None and owner.stdout.readline() == "up\n"
    assert any("slurmctld" in words for words in processes_of(second))
    owner.kill()
    owner.wait()
    until(lambda: not processes_of(second), lambda: str(processes_of(second)))
    subprocess.run([MMFM, "cluster", "down", "--folder", second], timeout=60, check=True)
    assert not second.exists()


def test_a_daemon_that_fails_is_named_with_its_log_and_nothing_is_left(
    second: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(layout: Layout) -> None:
        write(layout)
        with layout.slurm_conf.open("a") as file:
            file.write("NoSuchKey=1\n")

    from slurm.testbed import cluster as module

    write = module.write_files
    monkeypatch.setattr(module, "write_files", broken)
    with pytest.raises(UserError, match=r"(?s)slurmctld ended with 1.*NoSuchKey"):
        Cluster.up(Layout(str(second), nodes=1, accounting=False), owned=True)
    assert not second.exists() and not processes_of(second)


def test_a_folder_with_other_files_is_refused_and_kept(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(UserError, match="holds other files"):
        Cluster.up(Layout(str(tmp_path)))
    assert (tmp_path / "thesis.tex").exists()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("slurm.testbed.packages.SYSTEM_PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"apt-get install .* mariadb-server .* slurmctld slurmd"):
        Cluster.up(Layout(str(tmp_path / "c")))
