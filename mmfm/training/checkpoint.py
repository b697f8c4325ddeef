"""Checkpoints: written whole or not at all, verified before they are trusted.

    checkpoints/step_00000100/
      manifest.json   step, samples, ranks, and size and digest of every file; written last
      model/          weights, model config and tokenizer: all that evaluation and fine-tuning need
      engine/         DeepSpeed's state: what exact continuation needs
    checkpoints/latest  name of the newest, for people

A checkpoint is built in a folder with another name and renamed when it is complete, so that a kill at any
moment leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfm.errors import CheckpointError
from mmfm.progress import say

PREFIX = "step_"
MANIFEST = "manifest.json"


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


def begin(checkpoints: Path, step: int) -> Path:
    """Make the empty folder that a checkpoint is built in. Run by one rank; leftovers are removed."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    draft = checkpoints / f".saving-{folder_name(step)}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    return draft


def commit(draft: Path, position: Position) -> Path:
    """Seal a complete draft: manifest, flush to disk, rename, `latest`. Run by one rank, after all wrote.

    A valid checkpoint of the same step is never overwritten; a damaged one is moved aside.
    """
    files = {str(p.relative_to(draft)): _describe(p) for p in sorted(draft.rglob("*")) if p.is_file()}
    manifest = {"schema": 1, **asdict(position), "files": files}
    _write(draft / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    final = draft.parent / folder_name(position.step)
    if final.exists():
        if damage(final) is None:
            shutil.rmtree(draft)
            return final
        final.rename(draft.parent / f".damaged-{final.name}-{os.getpid()}")
    draft.rename(final)
    _sync(draft.parent)
    _write(draft.parent / ".latest", final.name + "\n")
    (draft.parent / ".latest").replace(draft.parent / "latest")
    return final


def retain(checkpoints: Path, keep: int, keep_every: int) -> None:
    """Delete all but the newest `keep` checkpoints and those at multiples of `keep_every` steps."""
    folders = sorted(checkpoints.glob(f"{PREFIX}*"))
    for folder in folders[: max(0, len(folders) - max(1, keep))]:
        if not keep_every or _step_of(folder) % keep_every:
            shutil.rmtree(folder)


def read_position(folder: Path) -> Position:
    """The position that a checkpoint's manifest records. Raises `CheckpointError` if it has none."""
    manifest = _manifest(folder)
    return Position(**{name: manifest[name] for name in Position.__dataclass_fields__})


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder, or None when each file is there with its size and digest."""
    try:
        files = _manifest(folder)["files"]
    except CheckpointError as error:
        return str(error)
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != expected["bytes"]:
            return f"{path} has {path.stat().st_size} bytes instead of {expected['bytes']}"
        if _describe(path) != expected:
            return f"{path} was altered (its digest differs)"
    return None


def newest_valid(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint, or None; damaged ones are passed over with a warning."""
    for folder in sorted(checkpoints.glob(f"{PREFIX}*"), reverse=True):
        wrong = damage(folder)
        if wrong is None:
            return folder
        say(f"warning: checkpoint {folder.name} is damaged and passed over: {wrong}")
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


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the checkpoint was not finished") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return manifest


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "blake2b": hashlib.file_digest(file, "blake2b").hexdigest()}


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
