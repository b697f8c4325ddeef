"""A job function to run in local processes, and a folder for its runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

JOBS = """
import json, os, pathlib, signal, sys, time
from mmfm.errors import DataError

def _folder(config):
    return pathlib.Path(config.run.root) / config.run.name

def ranks(config):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
             "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", "TRITON_CACHE_DIR")
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
from launch.executor import run_local
from launch.cli.entry import _failed
from launch.job import Job
from dataclasses import asdict
from mmfm.config.schema import PretrainConfig
from mmfm.errors import UserError

config = PretrainConfig()
config.run.root, config.run.name = sys.argv[2], "run"
config.optim.lr = 0.125
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
