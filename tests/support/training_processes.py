"""Starting real training processes, as the launcher would, and reading what they wrote."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from mmfm.config import load
from mmfm.config.schema import FinetuneConfig, PretrainConfig
from mmfm.models.presets import preset_layer
from mmfm.training.trainer import finetune, pretrain
kind, *overrides = sys.argv[1:]
schema, run = {"pretrain": (PretrainConfig, pretrain), "finetune": (FinetuneConfig, finetune)}[kind]
run(load(schema, None, overrides, base=preset_layer))
"""
TINY = [
    "model.preset=demo",
    "data.image_size=32",
    "data.max_tokens=48",
    "data.workers=1",
    "data.prefetch=1",
    "train.global_batch=16",
    "optim.warmup_steps=2",
    "log.every=1",
]
TIMEOUT = 240


def start(kind: str, world: int, *overrides: str) -> list[subprocess.Popen[str]]:
    """Start `world` ranks of a tiny run; they meet at a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = []
    for rank in range(world):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", SCRIPT, kind, *TINY, *overrides]
        ranks.append(
            subprocess.Popen(
                command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    return ranks


def finish(ranks: list[subprocess.Popen[str]]) -> tuple[list[int], str]:
    """Wait for all ranks; their exit codes and all that they printed."""
    try:
        printed = "".join(rank.communicate(timeout=TIMEOUT)[0] for rank in ranks)
    finally:
        for rank in ranks:
            rank.kill()
    return [rank.returncode for rank in ranks], printed


def train(kind: str, world: int, *overrides: str) -> str:
    """Run to the end, which must go well; what the ranks printed."""
    codes, printed = finish(start(kind, world, *overrides))
    assert codes == [0] * world, printed[-4000:]
    return printed


def losses(run: Path) -> dict[int, float]:
    """Loss by step, from metrics.jsonl; every step must stand there once."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len({line["step"] for line in lines}) == len(lines)
    return {line["step"]: line["loss"] for line in lines}
