"""Checkpoints: written whole or not at all, verified before they are trusted.

    checkpoints/step_00000100/
      manifest.json   step, samples, ranks, and size and digest of every file; written last
      model/          weights, model config and tokenizer: all that evaluation and fine-tuning need
      engine/         DeepSpeed's state: what exact continuation needs
    checkpoints/latest  name of the newest, for people

A checkpoint is built in a folder with another name and renamed when it is complete, so that a kill at any
moment leaves the one before. That name says which start of the job builds it: a process of an earlier start
that is still alive never writes into the draft of a later one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfm.errors import CheckpointError
from mmfm.files import file_digest, write_atomically
from mmfm.progress import say
from mmfm.training.journal import Start

PREFIX = "step_"
DRAFT_PREFIX = ".saving-"
DAMAGED_PREFIX = ".damaged-"
MANIFEST = "manifest.json"


class SaveError(RuntimeError):
    """A checkpoint could not be written. Raised on all ranks alike; the message says whose and why."""


@dataclass(frozen=True)
class Position:
    """Where a run stands: all that the trainer itself needs to go on."""

    step: int  # optimizer steps done
    samples: int  # samples consumed over all ranks
    world_size: int
    zero_stage: int


def folder_name(step: int) -> str:
    """Name of the checkpoint folder of `step`."""
    return f"{PREFIX}{step:08d}"


def begin(checkpoints: Path, step: int, start: Start | None = None) -> Path:
    """Make the empty folder that `start` builds a checkpoint in. Run by one rank.

    Drafts that nobody finishes any more are removed: its own, and those of all but later starts of its job.
    Where a stale rank still writes into one, its rest goes the next time.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    draft = checkpoints / f"{DRAFT_PREFIX}{folder_name(step)}{f'-{start.job}.{start.count}' if start else ''}"
    for leftover in checkpoints.glob(f"{DRAFT_PREFIX}*"):
        if not _is_later(leftover, start):
            shutil.rmtree(leftover, ignore_errors=leftover != draft)
    draft.mkdir()
    return draft


def _is_later(draft: Path, start: Start | None) -> bool:
    """Whether a later start of the same job builds `draft`."""
    if start is None:
        return False
    job, _, count = draft.name.removeprefix(DRAFT_PREFIX).partition("-")[2].rpartition(".")
    return job == start.job and int(count) > start.count


def commit(draft: Path, position: Position, check: Callable[[], None] = lambda: None) -> Path:
    """Seal a complete draft: manifest, flush to disk, rename, `latest`. Run by one rank, after all wrote.

    `check` may refuse, by an error, just before the checkpoint takes its place: sealing takes time. A valid
    checkpoint of the same step is never overwritten; a damaged one is moved aside, in place of the last such.
    """
    paths = [path for path in sorted(draft.rglob("*")) if path.is_file()]
    files = {str(path.relative_to(draft)): _describe(path) for path in paths}
    for path in [*paths, *{path.parent for path in paths}]:
        sync(path)
    manifest = {"schema": 1, **asdict(position), "files": files}
    write_atomically(draft / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    check()
    final = draft.parent / folder_name(position.step)
    if final.exists():
        if damage(final) is None:
            shutil.rmtree(draft)
            return final
        for older in draft.parent.glob(f"{DAMAGED_PREFIX}*"):
            shutil.rmtree(older, ignore_errors=True)
        final.rename(draft.parent / f"{DAMAGED_PREFIX}{final.name}-{os.getpid()}")
    draft.rename(final)
    sync(draft.parent)
    write_atomically(draft.parent / "latest", final.name + "\n")
    return final


def retain(current: Path, keep: int, keep_every: int) -> None:
    """Delete older checkpoints than `current`, but for the newest `keep` (it is one) and milestones.

    Milestones are multiples of `keep_every` steps. Later ones, left by a run that went on from an earlier
    step because they are damaged, are replaced when their step is reached.
    """
    older = [folder for folder in _steps(current.parent) if _step_of(folder) < _step_of(current)]
    for folder in older[: max(0, len(older) - (keep - 1))]:
        if not keep_every or _step_of(folder) % keep_every:
            shutil.rmtree(folder)


def read_position(folder: Path) -> Position:
    """The position that a checkpoint's manifest records. Raises `CheckpointError` if it has none."""
    return _manifest(folder)[0]


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, or None when each file is there with its size and digest."""
    try:
        files = _manifest(folder)[1]
    except CheckpointError as error:
        return str(error)
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != expected.get("bytes"):
            return f"{path} has {path.stat().st_size} bytes instead of {expected['bytes']}"
        if _describe(path) != expected:
            return f"{path} was altered (its digest differs)"
    return None


def newest_valid(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint; damaged ones are passed over with a warning. None where there is none yet.

    Raises `CheckpointError` when there are some and all are damaged: starting over is for people to decide.
    """
    folders = _steps(checkpoints)
    for folder in reversed(folders):
        wrong = damage(folder)
        if wrong is None:
            return folder
        say(f"warning: checkpoint {folder.name} is damaged and passed over: {wrong}")
    if folders:
        raise CheckpointError(
            f"all {len(folders)} checkpoints in {checkpoints} are damaged: restore one, or delete that "
            "folder to start over"
        )
    return None


def newest_checkpoint(folder: str | Path) -> Path:
    """Resolve a run folder, its `checkpoints` folder or one checkpoint to a whole checkpoint folder.

    Raises `CheckpointError` naming the folder when nothing usable is there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} does not exist: give a run folder or a checkpoint folder")
    if (folder / MANIFEST).is_file() or folder.name.startswith(PREFIX):
        wrong = damage(folder)
        if wrong is not None:
            raise CheckpointError(f"checkpoint {folder} is damaged: {wrong}")
        return folder
    found = newest_valid(folder if folder.name == "checkpoints" else folder / "checkpoints")
    if found is None:
        raise CheckpointError(f"{folder} holds no usable checkpoint: has the run saved one yet?")
    return found


def _manifest(folder: Path) -> tuple[Position, dict[str, dict[str, Any]]]:
    """Position and files of a checkpoint. Raises `CheckpointError` for a manifest missing or malformed."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text())
        files = {str(name): dict(described) for name, described in values["files"].items()}
        return Position(**{name: int(values[name]) for name in Position.__dataclass_fields__}), files
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the checkpoint was not finished") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__} {error}") from error


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "blake2b": file_digest(path, "blake2b")}


def _steps(checkpoints: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    names = re.compile(rf"{PREFIX}\d{{8}}")
    return sorted(path for path in checkpoints.glob(f"{PREFIX}*") if names.fullmatch(path.name))


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, so that it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
