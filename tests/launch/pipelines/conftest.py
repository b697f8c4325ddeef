"""An sbatch that only keeps what it is given."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which an sbatch keeps each script under its job's number, from 1 on."""
    program, kept = tmp_path / "bin" / "sbatch", tmp_path / "kept"
    program.parent.mkdir()
    kept.mkdir()
    program.write_text(
        f'#!/bin/sh\nn=$(($(ls {kept} | wc -l) + 1))\ncp "$1" {kept}/$n\necho Submitted batch job $n\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    return kept
