"""What srun prints in a job's log, read back."""

from __future__ import annotations

from pathlib import Path

from launch.slurm.srunlines import Ending, complaints, endings, newest_start

LOG = """\
mmfm: start 1 on n[1-2]
srun: error: n1: task 0: Segmentation fault (core dumped)
mmfm: start 2 on n[1,3-4]
step 1 of 40: loss 2.8
srun: error: n3: task 2: Killed
srun: launch/slurm: _step_signal: Terminating StepId=2.0
slurmstepd-n1: error: *** STEP 2.0 ON n1 CANCELLED AT 2026-11-21T16:16:01 ***
srun: error: n1: tasks 0-1,5: Exited with exit code 1
srun: Force Terminated StepId=2.0
"""


def test_endings_are_told_in_order_with_node_ranks_and_code() -> None:
    assert endings(LOG.splitlines()[2:]) == [
        Ending("n3", (2,), "Killed"),
        Ending("n1", (0, 1, 5), "Exited with exit code 1", code=1),
    ]


def test_only_the_newest_start_counts(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    assert [ending.node for ending in endings(newest_start(tmp_path / "log"))] == ["n3", "n1"]
    assert newest_start(tmp_path / "none") == []


def test_nodes_that_start_no_tasks_are_lost() -> None:
    found = endings(
        [
            "srun: error: Task launch for StepId=7.0 failed on node n3: Communication connection failure",
            "srun: error: Application launch failed: Communication connection failure",
            "srun: error: Node failure on n4",
        ]
    )
    assert [(ending.node, ending.lost) for ending in found] == [("n3", True), ("n4", True)]
    assert "Communication connection failure" in str(found[0])


def test_other_complaints_are_kept() -> None:
    lines = [
        "srun: error: Unable to create step for job 7: Memory required by task is not available",
        "srun: error: n1: task 0: Killed",
        "step 3 of 4",
    ]
    assert complaints(lines) == ["Unable to create step for job 7: Memory required by task is not available"]
