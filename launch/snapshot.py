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

PROJECT = Path(__file__).resolve().parents[1]
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
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"{path.relative_to(self.project)}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return self.run_folder.absolute() / "code" / digest.hexdigest()[:12]

    def take(self) -> Path:
        """Make the copy unless it is there. It appears under its name only when it is whole."""
        if self.folder.exists():
            return self.folder
        draft = self.folder.with_name(f".{self.folder.name}-{os.getpid()}")
        for path in self._files():
            target = draft / path.relative_to(self.project)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        try:
            draft.rename(self.folder)
        except OSError:  # someone else was quicker
            shutil.rmtree(draft)
        return self.folder

    def _files(self) -> list[Path]:
        found = (path for package in PACKAGES for path in (self.project / package).rglob("*"))
        return sorted(path for path in found if path.is_file() and CACHE not in path.parts)
