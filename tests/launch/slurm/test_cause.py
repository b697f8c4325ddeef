"""Which of all that is seen is the cause."""

from __future__ import annotations

from typing import Any

from launch.slurm.cause import Cause, find_cause
from launch.slurm.srunlines import Ending
from mmfm.training.beat import Beat
from mmfm.training.failure import Failure

LOST_PEER = Failure(0, "crash", "Connection closed by peer", "RuntimeError", "n1", 5.0)
KILLED = Ending("n2", (1,), "Killed")
EXITED = Ending("n1", (0,), "Exited with exit code 1", code=1)
BEATS = [Beat(0, "n1", 11, "agreeing", 7, 1.0, 2.0), Beat(1, "n2", 12, "computing", 8, 1.0, 2.0)]


def cause(*failures: Failure, ended: Any = (), beats: Any = (), met: Any = (0, 1)) -> Cause:
    return find_cause(failures, list(ended), list(beats), met, otherwise="srun ended with 1")


def test_a_killed_process_goes_before_those_that_lost_it() -> None:
    found = cause(LOST_PEER, ended=[KILLED, EXITED], beats=BEATS)
    assert (found.kind, found.ranks, found.nodes, found.bad_nodes) == ("killed", (1,), ("n2",), ())
    assert found.message == "rank 1 on n2: Killed, while computing (step 8)"


def test_an_error_goes_before_the_kills_that_follow_from_it() -> None:
    found = cause(LOST_PEER, ended=[EXITED, KILLED])
    assert (found.kind, found.ranks) == ("crash", (0,))
    assert "rank 0 on n1: RuntimeError: Connection closed by peer" in found.message


def test_a_users_mistake_goes_before_all() -> None:
    mistake = Failure(1, "user", "no shards", "DataError", "n2", 9.0)
    assert cause(LOST_PEER, mistake, ended=[EXITED]).kind == "user"


def test_a_hang_shows_where_each_rank_was() -> None:
    hang = Failure(1, "hang", "computing (step 8) took 600 s", "", "n2", 9.0)
    found = cause(LOST_PEER, hang, beats=BEATS)
    assert found.kind == "hang" and found.ranks == (1,)
    assert "rank 0 on n1: agreeing (step 7)" in found.message
    assert "rank 1 on n2: computing (step 8)" in found.message


def test_bad_nodes_are_the_cause_and_not_the_rank_that_said_so() -> None:
    failure = Failure(0, "node", "not fit: n2: no ib0", "BadNodeError", "n1", 1.0, ["n2"])
    found = cause(failure, ended=[Ending("n1", (0,), "Exited with exit code 3", code=3)])
    assert (found.kind, found.nodes, found.bad_nodes) == ("node", ("n2",), ("n2",))


def test_a_node_that_can_leave_no_file_is_known_by_its_exit_code() -> None:
    found = cause(ended=[Ending("n2", (1,), "Exited with exit code 3", code=3)])
    assert (found.kind, found.bad_nodes) == ("node", ("n2",))


def test_a_node_that_never_met_the_others_is_bad_but_not_if_nobody_met() -> None:
    silent = Ending("n2", (1,), "Exited with exit code 1", code=1)
    assert cause(ended=[silent], met=(0,)).bad_nodes == ("n2",)
    assert cause(ended=[silent], met=()).bad_nodes == ()
    assert cause(ended=[silent], met=(0, 1)).bad_nodes == ()


def test_a_node_that_starts_no_tasks_is_bad() -> None:
    found = cause(ended=[Ending("n3", (), "its tasks were not started", lost=True), EXITED])
    assert (found.kind, found.bad_nodes) == ("lost", ("n3",))


def test_nothing_known_is_said_as_it_is() -> None:
    assert cause() == Cause("crash", "srun ended with 1")
