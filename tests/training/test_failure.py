from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mmfm.training.beat import Beat, read_beats
from mmfm.training.failure import BadNodeError, Failure, leave, node_name, read_failures


def test_failures_of_one_start_are_read_first_in_time_first(tmp_path: Path) -> None:
    later = Failure(0, "crash", "connection lost", "RuntimeError", "n1", 20.0)
    sooner = Failure(1, "node", "no room", "BadNodeError", "n2", 10.0, ["n2"])
    for failure in (later, sooner):
        leave(tmp_path / "logs", 1, failure)
    leave(tmp_path / "logs", 11, Failure(2, "hang", "of another start"))
    assert read_failures(tmp_path / "logs", 1) == [sooner, later]
    assert read_failures(tmp_path / "logs", 0) == []
    assert str(sooner) == "rank 1 on n2: BadNodeError: no room"


def test_the_first_failure_that_a_process_leaves_stays(tmp_path: Path) -> None:
    leave(tmp_path, 0, Failure(0, "hang", "first"))
    leave(tmp_path, 0, Failure(0, "crash", "second"))
    assert [failure.message for failure in read_failures(tmp_path, 0)] == ["first"]


def test_the_error_of_a_bad_node_travels_between_ranks() -> None:
    error = pickle.loads(pickle.dumps(BadNodeError("n2 is slow", ["n2"])))
    assert str(error) == "n2 is slow" and error.nodes == ["n2"]


def test_a_node_has_the_name_that_the_cluster_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n3")
    assert node_name() == Failure(0, "crash", "").node == "n3"
    monkeypatch.delenv("SLURMD_NODENAME")
    assert node_name()


def test_the_last_beat_of_each_rank_is_kept(tmp_path: Path) -> None:
    for step in (1, 2):
        Beat(0, "n1", 10, "computing", step, 0.0, 0.0).write(tmp_path, 0)
    Beat(1, "n2", 11, "waiting for data", 2, 0.0, 0.0).write(tmp_path, 0)
    Beat(1, "n2", 12, "starting", 0, 0.0, 0.0).write(tmp_path, 1)
    assert [(beat.rank, beat.step) for beat in read_beats(tmp_path, 0)] == [(0, 2), (1, 2)]
    assert str(read_beats(tmp_path, 0)[0]).startswith("rank 0 on n1: computing (step 2), last seen ")
    assert str(read_beats(tmp_path, 1)[0]).startswith("rank 1 on n2: starting, last seen ")
