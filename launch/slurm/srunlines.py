"""How the processes of a start ended, as srun says it in the job's log.

srun: error: n2: task 1: Killed
srun: error: n1: tasks 0,2-3: Exited with exit code 2
srun: error: Task launch for StepId=7.0 failed on node n3: Communication connection failure
srun: error: Node failure on n3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r"^mmfm: start \d+ on ")  # as `launch.slurm.script` has the script print it
ENDED = re.compile(r"^srun: error: (?P<node>\S+): tasks? (?P<ranks>[\d,-]+): (?P<how>.+)$")
NOT_STARTED = re.compile(r"^srun: error: Task launch for \S+ failed on node (?P<node>\S+?): (?P<how>.+)$")
LOST = re.compile(r"^srun: error: Node failure on (?P<node>\S+)$")
EXIT_CODE = re.compile(r"Exited with exit code (\d+)")
STARTUP = re.compile(r"^(slurmstepd: error: |srun: error: )(?!\*\*\*)(?P<what>.+)$")


@dataclass(frozen=True)
class Ending:
    """How some ranks of one node ended. `code` is their exit code, None if a signal or Slurm ended them."""

    node: str
    ranks: tuple[int, ...]
    how: str  # in srun's words
    code: int | None = None
    lost: bool = False  # the node: it never started its tasks, or does not answer any more

    def __str__(self) -> str:
        if not self.ranks:
            return f"{self.node}: {self.how}"
        return f"rank {', '.join(map(str, self.ranks))} on {self.node}: {self.how}"


def endings(lines: list[str]) -> list[Ending]:
    """How processes ended, the first to end first."""
    return list(_endings(lines))


def newest_start(log: Path) -> list[str]:
    """The lines of a job's log since its script last began."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    marks = [number for number, line in enumerate(lines) if MARK.match(line)]
    return lines[marks[-1] :] if marks else lines


def complaints(lines: list[str]) -> list[str]:
    """What else Slurm says is wrong, such as that a step could not be made."""
    found = (STARTUP.match(line) for line in lines)
    return [match["what"] for match in found if match and not ENDED.match(match[0])]


def _endings(lines: list[str]) -> Iterator[Ending]:
    for line in lines:
        if match := ENDED.match(line):
            code = EXIT_CODE.search(match["how"])
            yield Ending(
                match["node"], _numbers(match["ranks"]), match["how"], int(code[1]) if code else None
            )
        elif match := NOT_STARTED.match(line) or LOST.match(line):
            how = match.groupdict().get("how")
            yield Ending(
                match["node"], (), f"its tasks were not started: {how}" if how else "lost", lost=True
            )


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of a list such as 0,2-3."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)
