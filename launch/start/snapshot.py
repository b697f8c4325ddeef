"""The code as it was at submission: a job may wait for hours, and people edit meanwhile.

A job on a cluster runs from <run>/code/<digest>; submitting the same code again finds the copy there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("mmfm", "data_tools", "launch")  # what a job imports of ours
CACHE = "__pycache__"


@dataclass(frozen=True)
class Snapshot:
    """A copy, made or still to be made, of the project's packages below a run folder."""

    run_folder: Path
    project: Path = PROJECT

    @cached_property
    def folder(self) -> Path:
        """Where the copy is: its name is the digest of what it holds."""
        return self.run_folder.absolute() / "code" / code_digest(self.project)

    def take(self) -> Path:
        """Make the copy unless it is there. It appears under its name only when it is whole."""
        if self.folder.exists():
            return self.folder
        draft = self.folder.with_name(f".{self.folder.name}-{os.getpid()}")
        for path in code_files(self.project):
            target = draft / path.relative_to(self.project)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        try:
            draft.rename(self.folder)
        except OSError:
            shutil.rmtree(draft)
            if not self.folder.exists():
                raise
            # someone else was quicker
        return self.folder


def code_files(project: Path) -> list[Path]:
    """The files of the project that a job may import."""
    found = (path for package in PACKAGES for path in (project / package).rglob("*"))
    return sorted(path for path in found if path.is_file() and CACHE not in path.parts)


def code_digest(project: Path = PROJECT) -> str:
    """Hash of the names and contents of the code; by default of that which runs."""
    digest = hashlib.sha256()
    for path in code_files(project):
        digest.update(f"{path.relative_to(project)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
