"""A job function to run in local processes, and a folder for its runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

JOBS = """
import json, os, pathlib, signal, sys, time
from mmfm.errors import DataError

def _folder(config):
    return pathlib.Path(config.run.root) / config.run.name

def ranks(config):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
             "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", "TRITON_CACHE_DIR",
             "MMFM_JOB", "MMFM_START", "MMFM_LOGS")
    seen = {name: os.environ.get(name) for name in names}
    seen["lr"] = config.optim.lr
    (_folder(config) / f"seen_{os.environ['RANK']}.json").write_text(json.dumps(seen))
    print("hello from rank", os.environ["RANK"], file=sys.stderr)

def user_error(config):
    if os.environ["RANK"] == "1":
        raise DataError("the lesions are missing: draw them")
    time.sleep(600)

def crash(config):
    if os.environ["RANK"] == "1":
        raise RuntimeError("the third wheel came off")
    time.sleep(600)

def killed(config):
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

def until_stopped(config):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    (_folder(config) / f"pid_{os.environ['RANK']}").write_text(str(os.getpid()))
    while not stop:
        time.sleep(0.05)
    (_folder(config) / f"saved_{os.environ['RANK']}").write_text("")

def deaf(config):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (_folder(config) / f"pid_{os.environ['RANK']}").write_text(str(os.getpid()))
    time.sleep(600)
"""

START = """
import sys
from launch.local.executor import run_local
from launch.cli.entry import _failed
from launch.start.job import Job
from dataclasses import asdict
from mmfm.config.schema import PretrainConfig
from mmfm.errors import UserError

config = PretrainConfig()
config.run.root, config.run.name = sys.argv[2], "run"
config.optim.lr = 0.125
config.data.shards = sys.argv[2]  # any folder that is there
config.cluster.processes = 2
config.cluster.cpus = 1
schema = "mmfm.config.schema:PretrainConfig"
job = Job("pretrain", "tiny_jobs:" + sys.argv[1], schema, asdict(config), sys.argv[2] + "/run")
try:
    run_local(job, config.cluster)
except UserError as error:
    print("user error:", error, file=sys.stderr)
    sys.exit(2)
except Exception as error:
    sys.exit(_failed(error))
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start_job(tmp_path: Path) -> Start:
    """start_job(name) runs a function of `tiny_jobs` in two local processes; run folder tmp_path/run."""
    (tmp_path / "tiny_jobs.py").write_text(textwrap.dedent(JOBS))
    (tmp_path / "run").mkdir()
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"}

    def start(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", START, name, str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A scontrol that knows a job in the state written in `state`, and writes down what it is told.

    Beside it is a sinfo that knows the nodes written in `nodes`. For logic only: what Slurm then does is
    tested on real daemons, in tests/slurm.
    """
    program = tmp_path / "scontrol"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n'
        f'[ "$2" = hostnames ] && exec cat {tmp_path}/excluded\n'
        f'[ "$1" = show ] && {{ echo "JobId=7 JobState=$(cat {tmp_path}/state) Reason=None Partition=main"\n'
        f'echo "Restarts=$(cat {tmp_path}/restarts) ExcNodeList=$(cat {tmp_path}/excluded)"; }}\n'
        f"[ ! -e {tmp_path}/refuse ] || {{ echo 'slurm_requeue error: Access denied' >&2; exit 1; }}\n"
    )
    program.chmod(0o755)
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\ncat {tmp_path}/nodes\n")
    (tmp_path / "sinfo").chmod(0o755)
    (tmp_path / "nodes").write_text("n1\nn2\nn3\nn3\n")
    (tmp_path / "state").write_text("RUNNING")
    (tmp_path / "restarts").write_text("0")
    (tmp_path / "excluded").write_text("(null)")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)
