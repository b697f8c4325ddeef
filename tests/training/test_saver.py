"""Saves that fail on one rank fail on all, leave nothing behind, and do not end training at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from forked_ranks import RankForker
from torch import nn

from mmfm.config.schema import CheckpointConfig, OptimConfig, TrainConfig
from mmfm.training import checkpoint, saver
from mmfm.training.checkpoint import Position, SaveError
from mmfm.training.engine import Engine, process_group, run_on_first_rank
from mmfm.training.fence import Fence
from mmfm.training.journal import Journal, StaleError, Start
from mmfm.training.saver import Saver

FIRST, SECOND = Start("7", 0), Start("7", 1)
FULL = "OSError: [Errno 28] No space left on device (3 MB are free in {}/checkpoints)"


class Model(nn.Module):
    """Enough for an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Linear(4, 4)


class FakeTask:
    """Saves a model that is one line."""

    def save_model(self, folder: Path, state: Any) -> None:
        folder.mkdir()
        (folder / "weights").write_text("weights")


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Run:
    """A run on this rank: it can save, and its saves can be made to fail."""

    def __init__(self, rank: int, engine: Engine, folder: Path) -> None:
        self.rank = rank
        self.checkpoints = folder / "checkpoints"
        self.journal = Journal(folder / "journal.jsonl")
        if rank == 0:
            self.journal.claim(FIRST)
        self.seen: list[int] = []
        config = CheckpointConfig(keep=1, max_failed=3)
        fence = Fence(self.journal, FIRST)
        self.saver = Saver(engine, FakeTask(), self.checkpoints, fence, config, self.note)  # type: ignore[arg-type]

    def note(self, folder: Path, step: int) -> None:
        self.seen.append(step)
        raise ValueError("what others do with a checkpoint does not matter here")

    def save(self, step: int, must: bool = False, patch: tuple[int, Any, str] | None = None) -> str:
        """Save; on the rank that `patch` names, that function of that object finds the disk full."""
        before = None
        if patch and patch[0] == self.rank:
            before = getattr(patch[1], patch[2])
            setattr(patch[1], patch[2], no_space)
        try:
            self.saver.save(Position(step, step, 2, 2), must)
        except (SaveError, StaleError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            if before and patch:
                setattr(patch[1], patch[2], before)
        return "went on"

    def state(self) -> Any:
        """What lies there, what the journal says, which saves others were told of."""
        folders = sorted(path.name for path in self.checkpoints.iterdir())
        events = [(e.name, e.values.get("step"), e.values.get("cause", "")) for e in self.journal.events()]
        return run_on_first_rank(lambda: (folders, events[1:], list(self.seen)))


def in_run(rank: int, world: int, folder: Path, stage: int, story: str) -> list[Any]:
    """Tell a story on each rank."""
    os.environ["SLURMD_NODENAME"] = f"n{rank + 1}"
    torch.set_num_threads(1)
    shutil.disk_usage = lambda path: SimpleNamespace(free=3e6)  # type: ignore[assignment]
    tell: Callable[[Run], list[Any]] = globals()[story]
    with process_group(TrainConfig(zero_stage=stage), 2, 1, clip=1.0, seconds=60) as accelerator:
        return tell(Run(rank, Engine(accelerator, Model(), OptimConfig()), folder))


def fail_and_go_on(run: Run) -> list[Any]:
    shard = (1, TorchCheckpointEngine, "save")
    return [
        run.save(1),
        run.state(),
        run.save(2, patch=shard),
        run.state(),
        run.save(3),
        run.state(),
        run.save(4, patch=(0, FakeTask, "save_model")),
        run.save(5, patch=(0, checkpoint, "begin")),
        run.save(6, patch=shard),
        run.state(),
    ]


def lose_a_file(run: Run) -> list[Any]:
    """What rank 1 wrote does not reach rank 0 whole."""
    saver.VISIBLE_SECONDS = 0.5
    save = Engine.save

    def cut(engine: Engine, folder: Path) -> dict[str, int]:
        files = save(engine, folder)
        if run.rank == 1:
            for name in files:
                os.truncate(name, 10)
        return files

    Engine.save = cut  # type: ignore[method-assign]
    answer = run.save(1)
    Engine.save = save  # type: ignore[method-assign]
    return [answer, run.state(), run.save(2), run.state()]


def fail_at_the_end(run: Run) -> list[Any]:
    return [run.save(1), run.save(2, must=True, patch=(1, TorchCheckpointEngine, "makedirs")), run.state()]


def lose_the_run(run: Run) -> list[Any]:
    answers = [run.save(1)]
    draft = checkpoint.begin(run.checkpoints, 2, SECOND) if run.rank == 0 else None
    if draft:
        run.journal.claim(SECOND)
    return [*answers, run.save(2), run.state()]


@pytest.fixture(scope="module")
def forker() -> Iterator[RankForker]:
    with RankForker() as forker:
        yield forker


@pytest.mark.parametrize("stage", [2, 3])
def test_training_outlives_failed_saves_until_too_many_follow(
    forker: RankForker, tmp_path: Path, stage: int
) -> None:
    ours, other = forker.run(in_run, 2, tmp_path, stage, "fail_and_go_on")
    assert ours == other
    first, at_1, second, at_2, third, at_3, fourth, fifth, sixth, at_6 = ours
    assert [first, second, third, fourth, fifth] == ["went on"] * 5
    assert at_1 == (["latest", "step_00000001"], [("saved", 1, "")], [1])
    full = FULL.format(tmp_path)
    failed = ("save_failed", 2, f"rank 1 on n2: {full}")
    assert at_2 == (at_1[0], [*at_1[1], failed], [1])
    assert at_3 == (["latest", "step_00000003"], [*at_2[1], ("saved", 3, "")], [1, 3])
    assert sixth.startswith(
        f"SaveError: step 6 could not be saved: rank 1 on n2: {full} (failed saves in a row: 3)"
    )
    assert at_6[0] == at_3[0]
    on_first = f"rank 0 on n1: {full}"
    causes = [("save_failed", 4, on_first), ("save_failed", 5, on_first), ("save_failed", 6, failed[2])]
    assert at_6[1] == [*at_3[1], *causes]


def test_a_checkpoint_is_not_sealed_without_all_that_was_written(forker: RankForker, tmp_path: Path) -> None:
    ours, _ = forker.run(in_run, 2, tmp_path, 2, "lose_a_file")
    assert [ours[0], ours[2]] == ["went on"] * 2
    ((name, _, cause),) = ours[1][1]
    assert name == "save_failed" and "zero_pp_rank_1" in cause and "is not here with its" in cause
    assert ours[3][0] == ["latest", "step_00000002"]


def test_the_last_save_must_succeed(forker: RankForker, tmp_path: Path) -> None:
    ours, other = forker.run(in_run, 2, tmp_path, 2, "fail_at_the_end")
    assert ours == other
    assert "step 2 could not be saved: rank 1 on n2" in ours[1]
    assert ours[2][0] == ["latest", "step_00000001"]


def test_a_rank_whose_run_was_taken_over_changes_nothing(forker: RankForker, tmp_path: Path) -> None:
    ours, other = forker.run(in_run, 2, tmp_path, 2, "lose_the_run")
    assert ours == other
    assert ours[1].startswith("StaleError: job 7, start 2 has taken ")
    assert ours[2][0] == [".saving-step_00000002-7.1", "latest", "step_00000001"]
    assert ours[2][1] == [("saved", 1, ""), ("start", None, "")]
