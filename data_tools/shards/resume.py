"""Writing a folder of shards that may be interrupted: one writer at a time, only what is not there yet."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from data_tools.shards.plan import PARTS
from data_tools.shards.writer import Job, ShardReport, finished_report
from data_tools.workers import each
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say

LOCK = "lock"
AnyJob = TypeVar("AnyJob", bound=Job)


@contextmanager
def hold(output: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the folder for this process, or for those that share the writing (`LOCK_SH`).

    The lock goes with the process, however it ends. Raises `DataError` where another process has it,
    `ConfigError` where there can be no such folder.
    """
    try:
        (output / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}): choose another output") from error
    with (output / PARTS / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another process is writing {output}: wait for it, or end it") from error
        yield


def write_missing(
    jobs: Sequence[AnyJob],
    output: Path,
    write: Callable[[AnyJob], ShardReport],
    workers: int,
    check: Callable[[ShardReport], None] = lambda report: None,
) -> list[ShardReport]:
    """Reports of all jobs, in their order: those of an earlier run, and those that `write` makes now.

    `check` sees each report as soon as it is there, and may raise to end the writing.
    """
    reports = {job.name: finished_report(job, output) for job in jobs}
    missing = [job for job in jobs if reports[job.name] is None]
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} shards are there from an earlier run")
    for finished in reports.values():
        if finished:
            check(finished)
    for job, report in zip(missing, each(write, missing, "writing shards", workers), strict=True):
        reports[job.name] = report
        check(report)
    return [report for report in reports.values() if report is not None]
