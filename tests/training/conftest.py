"""A finished run that several tests compare with or start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_processes import train


@pytest.fixture(scope="session")
def reference_run(shards_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing disturbs: 30 steps."""
    root = tmp_path_factory.mktemp("reference")
    train("pretrain", 2, f"data.shards={shards_folder}", f"run.root={root}", "run.name=a", "train.steps=30")
    return root / "a"
