"""On what terms Slurm takes a job that is one of several: after which others, and what it reports."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPORTER = "-m launch.pipelines.stagejob"


@dataclass(frozen=True)
class Terms:
    """What a job waits for, and shell lines that run before it with {python} in place of the interpreter."""

    after: tuple[str, ...] = ()  # jobs that must have ended well
    setup: tuple[str, ...] = ()

    def lines(self, python: str) -> list[str]:
        """The shell lines."""
        return [line.replace("{python}", python) for line in self.setup]

    def options(self) -> dict[str, object]:
        """sbatch's options. A job whose condition cannot come true any more is cancelled, not kept."""
        if not self.after:
            return {}
        jobs = dict.fromkeys(job.partition("_")[0] for job in self.after)  # an array stands for its tasks
        return {"dependency": f"afterok:{':'.join(jobs)}", "kill-on-invalid-dep": "yes"}


def stage_terms(folder: Path, name: str, after: tuple[str, ...] = (), part: bool = False) -> Terms:
    """The terms of a job that does the stage `name` of the pipeline in `folder`.

    It writes the stage's record when it begins and when it ends, however that is, and it fails if the stage
    is not done. A `part` of a stage leaves the good end to the stage's last job.
    """
    words = f"{shlex.quote(str(folder.absolute()))} {shlex.quote(name)} {'part' if part else 'whole'}"
    lines = [
        f"{{python}} {REPORTER} begin {words}",
        f"mmfm_end() {{ {{python}} {REPORTER} end {words} $?; exit $?; }}",
        "trap mmfm_end EXIT",
    ]
    return Terms(after, tuple(lines))


def stage_of(script: str) -> tuple[Path, str] | None:
    """The folder and the stage that a job's script reports to, None for a job by itself."""
    found = re.search(rf"{re.escape(REPORTER)} begin (.+) (whole|part)$", script, re.MULTILINE)
    if found is None:
        return None
    folder, name = shlex.split(found[1])
    return Path(folder), name
