"""Saving a run: all ranks together, again after a failure, and only while the run is this start's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mmfm import distributed
from mmfm.config.schema import CheckpointConfig
from mmfm.progress import say
from mmfm.training import checkpoint
from mmfm.training.checkpoint import Position, SaveError
from mmfm.training.engine import Engine, gather_objects, run_on_first_rank
from mmfm.training.failure import node_name
from mmfm.training.fence import Fence
from mmfm.training.task import Task

OnSaved = Callable[[Path, int], None]  # told of a checkpoint that stays, and its step
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)  # torch and safetensors have errors of their own
VISIBLE_SECONDS = 90.0
LOOK_SECONDS = 0.2
SHOWN = 3  # ranks that a message names; one full disk fails them all


class Saver:
    """Saves the checkpoints of one run. All ranks have one and call it together."""

    def __init__(
        self,
        engine: Engine,
        task: Task,
        checkpoints: Path,
        fence: Fence,
        config: CheckpointConfig,
        on_saved: OnSaved | None = None,
    ) -> None:
        self.newest: Path | None = None  # checkpoint that this start saved
        self._engine = engine
        self._task = task
        self._checkpoints = checkpoints
        self._fence = fence
        self._config = config
        self._on_saved = on_saved
        self._failed = 0  # saves in a row

    def save(self, position: Position, must: bool) -> None:
        """Save the state at `position`. A failure is said and training may go on, until too many follow.

        Raises `SaveError` after `max_failed` failures in a row, or after one where it `must` succeed, and
        `StaleError` when a later start has the run. All ranks raise alike.
        """
        asked = time.perf_counter()
        try:
            self.newest = self._attempt(position)
        except SaveError as error:
            self._failed += 1
            self._tell_failure(position.step, str(error))
            if must or self._failed >= self._config.max_failed:
                raise SaveError(
                    f"step {position.step} could not be saved: {error} (failed saves in a row: "
                    f"{self._failed}). Is there room in {self._checkpoints}? Started again, the run goes on "
                    "from its last checkpoint"
                ) from error
            return
        self._failed = 0
        self._tell_success(position.step, time.perf_counter() - asked)

    def _attempt(self, position: Position) -> Path:
        """One try. Nothing of it is left when it fails."""
        draft: Path = run_on_first_rank(lambda: self._write(self._begin, position))
        try:
            state = self._engine.state_dict()
            files = self._write_together(draft)
            sealed: Path = run_on_first_rank(lambda: self._write(self._seal, draft, position, state, files))
        except SaveError:
            if distributed.rank() == 0:
                shutil.rmtree(draft, ignore_errors=True)
            raise
        return sealed

    def _begin(self, position: Position) -> Path:
        self._fence.check()
        return checkpoint.begin(self._checkpoints, position.step, self._fence.start)

    def _write_together(self, draft: Path) -> dict[str, int]:
        """Have each rank write its share. Returns all files with their bytes, or raises `SaveError`."""
        cause, files = "", {}
        try:
            files = self._engine.save(draft)
        except WRITE_ERRORS as error:
            cause = self._explain(error)
        everyone = list(enumerate(gather_objects((cause, node_name(), files))))
        found = [where(cause, rank, node) for rank, (cause, node, _) in everyone if cause]
        if found:
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise SaveError("; ".join(found[:SHOWN]) + more)
        return {path: size for _, (_, _, files) in everyone for path, size in files.items()}

    def _seal(self, draft: Path, position: Position, state: Any, files: dict[str, int]) -> Path:
        self._task.save_model(draft / "model", state)
        wait_for_files(files)
        sealed = checkpoint.commit(draft, position, self._fence.check)
        try:
            checkpoint.retain(sealed, self._config.keep, self._config.keep_every)
        except OSError as error:
            say(f"warning: older checkpoints are not deleted: {describe(error)}")
        return sealed

    def _write(self, action: Callable[..., Path], *arguments: Any) -> Path:
        """The result of `action`, with errors of writing as a `SaveError` that names rank and node."""
        try:
            return action(*arguments)
        except WRITE_ERRORS as error:
            raise SaveError(where(self._explain(error), distributed.rank(), node_name())) from error

    def _explain(self, error: Exception) -> str:
        """Why a write failed, with the room that is left: torch does not tell of a full disk."""
        try:
            free = f"{shutil.disk_usage(self._checkpoints).free / 1e6:.0f} MB are free"
        except OSError as lost:
            free = describe(lost)
        return f"{describe(error)} ({free} in {self._checkpoints})"

    def _tell_failure(self, step: int, cause: str) -> None:
        if distributed.rank() == 0:
            say(f"warning: step {step} is not saved: {cause} (failed saves in a row: {self._failed})")
            self._fence.record("save_failed", step=step, cause=cause)

    def _tell_success(self, step: int, seconds: float) -> None:
        if distributed.rank() != 0 or self.newest is None:
            return
        self._fence.record("saved", step=step, seconds=round(seconds, 3))
        if self._on_saved is not None:
            try:
                self._on_saved(self.newest, step)
            except Exception as error:  # whatever others do with a checkpoint must not end training
                say(f"warning: after the save of step {step}: {describe(error)}")


def wait_for_files(files: dict[str, int]) -> None:
    """Wait until files of other nodes are here as well, with their bytes. Shared folders may take their time.

    Without this, a checkpoint could be sealed with less than all that was written.
    """
    end = time.monotonic() + VISIBLE_SECONDS
    for name, size in files.items():
        path = Path(name)
        while not (path.is_file() and path.stat().st_size == size):
            if time.monotonic() > end:
                raise OSError(f"{path} is not here with its {size} bytes after {VISIBLE_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)
            list(path.parent.iterdir())  # has a network disk look again


def describe(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def where(cause: str, rank: int, node: str) -> str:
    """A cause with the place where it was met."""
    return f"rank {rank} on {node}: {cause}"
