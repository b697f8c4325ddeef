"""The run folder: the config it was started with, the environment it ran in, and where things lie.

<root>/<name>/
  config.yaml  env.json  tokenizer.json  metrics.jsonl  journal.jsonl  tb/  logs/
  checkpoints/step_00000100/{manifest.json, model/, engine/}  checkpoints/latest
  evals/step_00000100/<suite>.json
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import mmfm
from mmfm.config import dump
from mmfm.config.flatten import flatten
from mmfm.config.load import read_yaml
from mmfm.config.schema import DataConfig, PretrainConfig, RunConfig
from mmfm.data.manifest import Manifest
from mmfm.errors import CheckpointError
from mmfm.files import write_atomically
from mmfm.training.journal import Journal

# What may change between two starts of one run: where it runs, how often it reports and saves, and how
# many threads feed it. Nothing here touches the losses.
MAY_CHANGE = (
    *("cluster.", "log.", "checkpoint.", "watchdog.", "evals.", "run.root"),
    *("data.workers", "data.prefetch", "data.shards"),
)
COMMIT_VARIABLE = "MMFM_COMMIT"  # set for jobs, which run from a copy of the code outside the checkout
PACKAGES = ("torch", "deepspeed", "accelerate", "transformers", "timm", "webdataset", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @classmethod
    def of(cls, run: RunConfig) -> RunFolder:
        """The folder that a recipe names."""
        return cls(Path(run.root) / run.name)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def shards(self) -> Path:
        """Which shards the run trains on."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def journal(self) -> Journal:
        """What has happened to the run."""
        return Journal(self.path / "journal.jsonl")

    @property
    def tensorboard(self) -> Path:
        return self.path / "tb"

    def prepare(self, config: PretrainConfig) -> None:
        """Create the folder, or check that the one that exists belongs to this config and to these shards.

        Raises `CheckpointError` that says what differs. Run by one process.
        """
        self.check(config)
        if not self.begun:  # an earlier start that failed before its first step leaves no claim
            for leftover in (self.config, self.shards, self.tokenizer):
                leftover.unlink(missing_ok=True)
        self._claim_shards(config.data)
        if not self.config.exists():
            dump(config, self.config)
        write_atomically(self.path / "env.json", json.dumps(environment(), indent=2) + "\n")

    @property
    def begun(self) -> bool:
        """Whether a run has trained here: there are metrics or checkpoints."""
        return self.metrics.exists() or any(self.checkpoints.glob("*"))

    def check(self, config: PretrainConfig) -> None:
        """Refuse a folder that holds a run of another config. Raises `CheckpointError`; writes nothing."""
        if self.begun and self.config.exists():
            refuse_other_config(self.config, config)

    def _claim_shards(self, data: DataConfig) -> None:
        """Tie the run to the content of its shards. Going on with others would change the order, and could
        train on samples that a new split holds for testing."""
        now = {"split": data.split, "sha256": Manifest.read(data.shards).digest(data.split)}
        if not self.shards.exists():
            write_atomically(self.shards, json.dumps(now) + "\n")
        elif json.loads(self.shards.read_text()) != now:
            raise CheckpointError(
                f"the shards in {data.shards} are not those that the run in {self.path} began with. Choose "
                "another run.name, give the old shards as data.shards, or delete the run folder to start over"
            )


def refuse_other_config(path: Path, config: PretrainConfig) -> None:
    """Compare the config at `path` with `config`. Raises `CheckpointError` naming each difference."""
    before = flatten(OmegaConf.to_container(read_yaml(path)))
    now = flatten(asdict(config))
    keys = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    keys = [k for k in keys if not k.startswith(MAY_CHANGE)]
    if keys:
        lines = "\n".join(
            f"  {k}: {before.get(k, 'not set')} there, {now.get(k, 'not set')} here" for k in keys
        )
        raise CheckpointError(
            f"run folder {path.parent} holds a run of another config:\n{lines}\n"
            "Choose another run.name, undo these settings, or delete the folder to start over."
        )


def environment() -> dict[str, Any]:
    """Versions, host, processor and git commit of this process, for `env.json`."""
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "mmfm": mmfm.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "code": str(Path(mmfm.__file__).parents[1]),
        "git": os.environ.get(COMMIT_VARIABLE) or git_commit(),
        "host": socket.gethostname(),
        "cpus": len(os.sched_getaffinity(0)),
        "devices": devices,
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
    }


def git_commit() -> str:
    """Commit of the tree that the code runs from, "" outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
