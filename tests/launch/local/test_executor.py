"""Local jobs: real processes, started, followed, stopped and cleaned up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.local.executor import check_local
from mmfm.config.schema import ClusterConfig
from mmfm.errors import ConfigError
from mmfm.training.failure import Failure, read_failures
from mmfm.training.runfolder import RunFolder

Start = Callable[[str], "subprocess.Popen[str]"]
SECONDS = 60


def ended(start_job: Start, name: str) -> tuple[int, str]:
    process = start_job(name)
    _, messages = process.communicate(timeout=SECONDS)
    return process.returncode, messages


def wait_for(*paths: Path) -> None:
    end = time.monotonic() + SECONDS
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < end, f"{paths} did not appear"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def pids(folder: Path) -> list[int]:
    """The ranks, and the controller above them."""
    wait_for(folder / "pid_0", folder / "pid_1")
    ranks = [int((folder / f"pid_{rank}").read_text()) for rank in (0, 1)]
    parent = Path(f"/proc/{ranks[0]}/stat").read_text().rpartition(")")[2].split()[1]
    return [*ranks, int(parent)]


def left(folder: Path) -> list[Failure]:
    """What the processes of the job left, first in time first."""
    (logs,) = (folder / "run" / "logs").iterdir()
    return read_failures(logs, start=0)


def test_ranks_get_their_environment_and_logs(start_job: Start, tmp_path: Path) -> None:
    code, messages = ended(start_job, "ranks")
    assert code == 0, messages
    seen = [json.loads((tmp_path / "run" / f"seen_{rank}.json").read_text()) for rank in (0, 1)]
    assert [s["RANK"] for s in seen] == ["0", "1"] == [s["LOCAL_RANK"] for s in seen]
    assert {s["WORLD_SIZE"] for s in seen} == {"2"} == {s["LOCAL_WORLD_SIZE"] for s in seen}
    assert len({s["MASTER_PORT"] for s in seen}) == 1 and int(seen[0]["MASTER_PORT"]) < 32768
    assert {s["MASTER_ADDR"] for s in seen} == {"127.0.0.1"}
    assert {s["OMP_NUM_THREADS"] for s in seen} == {"1"} == {s["HF_HUB_OFFLINE"] for s in seen}
    assert seen[0]["TOKENIZERS_PARALLELISM"] == "false" and seen[0]["TRITON_CACHE_DIR"]
    assert {s["lr"] for s in seen} == {0.125}  # the config travels
    (claim,) = (e for e in RunFolder(tmp_path / "run").journal.events() if e.name == "start")
    assert claim.values["processes"] == 2
    assert {s["MMFM_JOB"] for s in seen} == {claim.start.job} and {s["MMFM_START"] for s in seen} == {"0"}
    assert {s["MMFM_LOGS"] for s in seen} == {str(tmp_path / "run" / "logs" / claim.start.job)}
    logs = {path.name.partition("_")[2]: path.read_text() for path in (tmp_path / "run").glob("logs/*/*.err")}
    assert "hello from rank 0" in logs["0_log.err"] and "hello from rank 1" in logs["1_log.err"]
    assert "hello from rank 0" in messages and "rank 1" not in messages  # the parent follows rank 0


def test_a_users_mistake_in_one_rank_ends_all_and_keeps_its_message(start_job: Start, tmp_path: Path) -> None:
    code, messages = ended(start_job, "user_error")
    assert code == 2
    assert "user error: the lesions are missing: draw them" in messages
    assert [(f.rank, f.kind) for f in left(tmp_path)] == [(1, "user")]


def test_a_failing_rank_is_named_with_its_log(start_job: Start, tmp_path: Path) -> None:
    code, messages = ended(start_job, "crash")
    assert code == 1
    assert "rank 1 failed: RuntimeError: the third wheel came off" in messages
    assert "_1_log.err" in messages and "Traceback" in messages
    assert [(f.rank, f.kind, f.type) for f in left(tmp_path)] == [(1, "crash", "RuntimeError")]


def test_a_killed_rank_does_not_leave_the_others_waiting(start_job: Start) -> None:
    began = time.monotonic()
    code, messages = ended(start_job, "killed")
    assert code == 1
    assert "rank 1 was killed by SIGKILL" in messages
    assert time.monotonic() - began < 45


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_lets_all_ranks_save_and_leaves_no_process(
    start_job: Start, tmp_path: Path, signum: signal.Signals
) -> None:
    process = start_job("until_stopped")
    processes = pids(tmp_path / "run")
    process.send_signal(signum)
    _, messages = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signum, messages
    assert (tmp_path / "run" / "saved_0").exists() and (tmp_path / "run" / "saved_1").exists()
    assert not any(alive(pid) for pid in processes)


def test_a_second_signal_kills_ranks_that_do_not_listen(start_job: Start, tmp_path: Path) -> None:
    process = start_job("deaf")
    processes = pids(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert all(alive(pid) for pid in processes)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert not any(alive(pid) for pid in processes)


def test_ranks_stop_when_the_command_itself_is_killed(start_job: Start, tmp_path: Path) -> None:
    process = start_job("until_stopped")
    processes = pids(tmp_path / "run")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    end = time.monotonic() + 20
    while any(alive(pid) for pid in processes):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (tmp_path / "run" / "saved_0").exists()


def test_one_machine_has_one_node() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.nodes=2"):
        check_local(ClusterConfig(nodes=2))
