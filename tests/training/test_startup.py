"""The start of a run in ranks that agree: long work of one, and leaving before the first step."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import training_processes as runs
from forked_ranks import RankForker

from mmfm.config import load
from mmfm.config.schema import PretrainConfig
from mmfm.errors import DataError
from mmfm.models.presets import preset_layer
from mmfm.training import startup
from mmfm.training.journal import COUNT_VARIABLE, JOB_VARIABLE, Journal, Start
from mmfm.training.signals import StopFlag
from mmfm.training.startup import Startup, StoppedError, Tick
from mmfm.training.trainer import pretrain

TICKS = 3


class Phases:
    """In place of a watchdog: the phases that it was told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def phase(self, name: str, slow: bool) -> None:
        assert slow
        self.names.append(name)


def start_up(rank: int, world: int, story: str) -> tuple[list[str], str]:
    """The phases that a rank named, and how its start ended."""
    startup.TICK_SECONDS = 0.0
    dist.init_process_group("gloo")
    stop, phases = StopFlag(), Phases()
    ours = Startup(stop, phases, torch.device("cpu"))  # type: ignore[arg-type]

    def build(tick: Tick) -> None:
        assert rank == 0
        for _ in range(TICKS):
            tick()
        if story == "fails":
            raise DataError("no room")

    outcome = "begins"
    try:
        ours.phase("building")
        stop.raised = story == "told meanwhile" and rank == 1
        ours.on_first_rank(build)
        stop.raised = story == "told" and rank == 1
        ours.phase("loading")
    except (StoppedError, DataError) as error:
        outcome = type(error).__name__
    dist.barrier()  # all are still in step
    dist.destroy_process_group()
    return phases.names, outcome


def begin_told(rank: int, world: int, words: list[str]) -> Any:
    """What pretraining returns if rank 1 was told to stop before it began."""
    with StopFlag():
        if rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return pretrain(load(PretrainConfig, None, words, base=preset_layer))


@pytest.fixture(scope="module")
def forker() -> Iterator[RankForker]:
    with RankForker() as forker:
        yield forker


@pytest.mark.parametrize(
    ("story", "phases", "outcome"),
    [
        ("undisturbed", ["building"] * (1 + TICKS) + ["loading"], "begins"),  # each tick renews the phase
        ("told", ["building"] * (1 + TICKS), "StoppedError"),
        ("told meanwhile", ["building"], "StoppedError"),
        ("fails", ["building"] * (1 + TICKS), "DataError"),
    ],
)
def test_all_ranks_wait_for_the_first_and_end_alike(
    forker: RankForker, story: str, phases: list[str], outcome: str
) -> None:
    assert forker.run(start_up, 2, story) == [(phases, outcome)] * 2


def test_a_run_that_is_told_to_stop_before_its_first_step_leaves_and_says_so(
    shards_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB_VARIABLE, "7")
    monkeypatch.setenv(COUNT_VARIABLE, "0")
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    journal.claim(Start("7"))
    words = [*runs.TINY, f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=run"]
    with RankForker() as forker:  # one that knows of the job
        assert forker.run(begin_told, 2, words) == [None, None]
    (left,) = [event for event in journal.events() if event.name != "start"]
    assert (left.name, left.values) == ("left", {"cause": "a stop signal at another rank"})
    assert not (tmp_path / "run" / "checkpoints").exists()
    journal.claim(Start("7", 1))
    assert journal.failures() == []
