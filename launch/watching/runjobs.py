"""The jobs of a run, on Slurm or of this machine, by the folders of their logs: <run>/logs/<job>."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from launch.local.controller import EXITS_FILE
from launch.slurm.queue import JobState
from mmfm.errors import DataError

SLURM_JOB = re.compile(r"\d+(_\d+)?$")  # 4711, or 4711_3 of an array
LOCAL_JOB = re.compile(r"\d{8}-\d{6}-\d+$")  # date, time, process
DEPTH = 3  # levels of folders below which no runs are looked for
SILENT_SECONDS = 120.0  # after which a local job that writes nothing is no longer taken for running
SILENT = "silent"  # the state of such a job: was its machine switched off?


@dataclass(frozen=True)
class RunJobs:
    """The jobs that were submitted or started for the run in a folder, oldest first."""

    run: Path
    names: list[str]

    @classmethod
    def of(cls, run: Path) -> RunJobs:
        """The jobs of one run. Raises `DataError` if there is none."""
        folders = [path for path in (run / "logs").glob("*") if is_slurm(path.name) or is_local(path.name)]
        if not folders:
            raise DataError(f"{run} holds no run: there is no logs/<job> in it")
        return cls(run, [path.name for path in sorted(folders, key=_began)])

    @property
    def on_slurm(self) -> list[str]:
        """Those that Slurm knows of."""
        return [name for name in self.names if is_slurm(name)]

    def folder(self, job: str) -> Path:
        """The log folder of a job. Raises `DataError` naming the jobs if it is none of the run."""
        if job not in self.names:
            raise DataError(f"{self.run} has no job {job}; its jobs: {', '.join(self.names)}")
        return self.run / "logs" / job

    def log(self, job: str, rank: int) -> Path:
        """Where the messages of one rank of a job are, or will be."""
        return self.folder(job) / f"{job}_{rank}_log.err"

    def ranks(self, job: str) -> list[int]:
        """The ranks of a job that have a log."""
        return sorted(
            int(path.name.removesuffix("_log.err").rpartition("_")[2])
            for path in self.folder(job).glob(f"{job}_*_log.err")
        )

    def local_state(self, job: str) -> JobState:
        """The state of a job of this machine (or of another one's): from what its processes wrote last."""
        folder = self.folder(job)
        try:
            exits = json.loads((folder / EXITS_FILE).read_text())
        except FileNotFoundError:
            heard = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            return JobState("running" if time.time() - heard < SILENT_SECONDS else SILENT)
        return JobState("failed" if any(entry["code"] for entry in exits["ended"]) else "completed")


def is_slurm(job: str) -> bool:
    """Whether a job's name is one that Slurm gave it."""
    return SLURM_JOB.match(job) is not None


def is_local(job: str) -> bool:
    """Whether a job's name is that of a job in processes of one machine."""
    return LOCAL_JOB.match(job) is not None


def find_runs(folder: Path) -> list[Path]:
    """The run folders at and below `folder` that have jobs. Raises `DataError` if there are none."""
    patterns = ["/".join(["*"] * depth + ["logs"]) for depth in range(DEPTH + 1)]
    logs = [path for pattern in patterns for path in folder.glob(pattern) if path.is_dir()]
    runs = [path.parent for path in logs if any(is_slurm(p.name) or is_local(p.name) for p in path.iterdir())]
    if not runs:
        raise DataError(f"there are no runs at or below {folder}")
    return sorted(runs)


def _began(folder: Path) -> float:
    """When a job was submitted: that is when its pickle, or else its folder, was made."""
    pickle = folder / f"{folder.name}_submitted.pkl"
    return (pickle if pickle.exists() else folder).stat().st_mtime
