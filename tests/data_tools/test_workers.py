"""Work spread over processes: in order, and with a message when a process is lost."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from data_tools import workers
from data_tools.workers import each
from mmfm.errors import DataError


def test_results_come_in_order_from_several_processes_in_chunks() -> None:
    pids = list(each(partial(max, 10), range(40), "counting", workers=2, chunk=7))
    assert pids == [max(10, job) for job in range(40)]


def test_fewer_jobs_than_a_chunk_stay_in_this_process() -> None:
    assert list(each(lambda _: os.getpid(), range(7), "counting", workers=2, chunk=7)) == [os.getpid()] * 7


def test_a_killed_process_is_told() -> None:
    with pytest.raises(DataError, match="a process was killed"):
        list(each(signal.raise_signal, [signal.SIGKILL] * 2, "dying", workers=2))


def test_a_slurm_job_uses_no_more_cores_than_it_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every cluster binds its jobs to cores: each of an array would take the whole node."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert workers.cores() == 64
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert workers.cores() == 4
