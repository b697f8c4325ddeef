"""What ends a job for good or for a while: its time limit, the links of a chain, the limit of failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FOR_EVER = "train.steps=1000000"


def test_time_limit_requeues_a_chain_goes_on_and_a_crash_loop_ends(submit: Callable[..., Any]) -> None:
    two_minutes = ["cluster.hours=0.034", "cluster.save_seconds=30"]  # Slurm may signal up to 60 s earlier
    alone = {"nodes": 1, "processes": 1}
    limited = submit(FOR_EVER, "checkpoint.every=1000000", *two_minutes, name="limited", **alone)
    last = submit("cluster.chain=2", "checkpoint.every=1000", "train.steps=200", name="chain", **alone)
    first = last.events("submitted")[0].start.job
    # Of every process only, so that the job's script can still say why.
    crashing = submit("cluster.setup=['ulimit -t 3']", "cluster.max_failures=2", name="crashing", **alone)

    last.wait_for(lambda: bool(last.events("stepped")), "first step")
    last.cluster.run("scancel", "--signal=USR2", first)
    last.wait_for_end()
    assert [event.start.job for event in last.events("start")] == [first, last.job]
    assert last.events("submitted")[1].values["after"] == first
    assert last.events("left") and last.events("done") and not last.events("requeued")

    crashing.wait_for(lambda: crashing.fact("JobState") == "FAILED", "end of the crash loop", may_fail=True)
    assert crashing.fact("Restarts") == "1"
    (given_up,) = crashing.events("given_up")
    assert given_up.values["cause"].count("CPU time limit exceeded") == 2
    assert "rank 0 on n" in crashing.log(0) and "the run stays down" in crashing.log(0)

    def stopped() -> list[Any]:
        """The signal may come too early for a step, on a busy machine."""
        return [event for event in limited.events("left") if "step" in event.values]

    limited.wait_for(lambda: bool(stopped()), "signal before the time limit")
    limited.wait_for_step(stopped()[0].values["step"] + 1)
    assert "SIGUSR2" in stopped()[0].values["cause"] and not limited.events("failed")
    assert int(limited.fact("Restarts")) >= 1
