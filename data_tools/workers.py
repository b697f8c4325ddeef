"""Work spread over processes, with progress; results come in the order of the jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from mmfm.errors import DataError
from mmfm.progress import track

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], what: str, workers: int = 0, chunk: int = 1
) -> Iterator[Result]:
    """Yield `work(job)` for every job, in order, on `workers` processes: 0 is one per core, 1 stays here.

    Short jobs are handed over in chunks of `chunk`. An exception of a job is raised here and ends the rest,
    as does closing the iterator.
    """
    count = min(workers or cores(), -(-len(jobs) // chunk))
    if count <= 1:
        yield from track(map(work, jobs), what, total=len(jobs))
        return
    # Fresh interpreters: a fork would copy locks that the progress bar's thread may hold.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=start_worker)
    try:
        yield from track(pool.map(work, jobs, chunksize=chunk), what, total=len(jobs))
    except BrokenProcessPool as error:
        raise DataError(
            f"{what}: a process was killed, most likely for lack of memory. "
            "Run again with fewer workers; what is written is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """CPU cores that this process may use: those it is bound to, in a Slurm job no more than it asked for."""
    bound = len(os.sched_getaffinity(0))
    return min(bound, int(os.environ.get("SLURM_CPUS_PER_TASK", bound)))


def start_worker() -> None:
    """Leave Ctrl-C to the parent, and never outlive it: kill -9 of the parent must not leave orphans."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "only worker processes start here"
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
