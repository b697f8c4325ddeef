from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mmfm.errors import CheckpointError
from mmfm.training import checkpoint
from mmfm.training.checkpoint import Position
from mmfm.training.journal import StaleError, Start


def write(checkpoints: Path, step: int, text: str = "weights") -> Path:
    draft = checkpoint.begin(checkpoints, step)
    (draft / "model").mkdir()
    (draft / "model" / "model.safetensors").write_text(f"{text} of {step}")
    return checkpoint.commit(draft, Position(step, step * 8, 2, 0))


def test_committed_checkpoint_is_found_with_its_position(tmp_path: Path) -> None:
    folder = write(tmp_path / "checkpoints", 10)
    assert checkpoint.newest_checkpoint(tmp_path) == folder
    assert checkpoint.newest_checkpoint(folder) == folder
    assert checkpoint.read_position(folder) == Position(10, 80, 2, 0)
    assert (tmp_path / "checkpoints" / "latest").read_text().strip() == folder.name


def test_unfinished_checkpoint_is_never_found(tmp_path: Path) -> None:
    first = write(tmp_path / "checkpoints", 10)
    draft = checkpoint.begin(tmp_path / "checkpoints", 20)
    (draft / "half").write_text("half")
    assert checkpoint.newest_checkpoint(tmp_path) == first
    assert write(tmp_path / "checkpoints", 20).name == "step_00000020"  # the leftover is in nobody's way


def test_a_checkpoint_that_is_refused_at_the_last_moment_never_takes_its_place(tmp_path: Path) -> None:
    draft = checkpoint.begin(tmp_path, 10)
    (draft / "weights").write_text("weights")

    def refuse() -> None:
        assert (draft / "manifest.json").exists()  # all the work is done by now
        raise StaleError("another start has the run")

    with pytest.raises(StaleError):
        checkpoint.commit(draft, Position(10, 80, 2, 0), refuse)
    assert not list(tmp_path.glob("step_*")) and not (tmp_path / "latest").exists()


def test_a_start_removes_dead_drafts_and_never_those_of_a_later_start(tmp_path: Path) -> None:
    later = checkpoint.begin(tmp_path, 10, Start("7-x", 2))
    checkpoint.begin(tmp_path, 10, Start("7-x", 0))
    ours = checkpoint.begin(tmp_path, 20, Start("7-x", 1))
    assert sorted(tmp_path.iterdir()) == sorted([ours, later])
    checkpoint.begin(tmp_path, 30, Start("8"))
    assert [path.name for path in tmp_path.iterdir()] == [".saving-step_00000030-8.0"]


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda f: (f / "model" / "model.safetensors").write_text("weightz of 20"), "altered"),
        (lambda f: (f / "model" / "model.safetensors").write_text(""), "bytes"),
        (lambda f: (f / "model" / "model.safetensors").unlink(), "missing"),
        (lambda f: (f / "manifest.json").unlink(), "not finished"),
        (lambda f: (f / "manifest.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "manifest.json").write_text('{"step": 20}'), "cannot be read"),
    ],
)
def test_damaged_checkpoint_is_passed_over_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm, word: str
) -> None:
    first = write(tmp_path / "checkpoints", 10)
    second = write(tmp_path / "checkpoints", 20)
    harm(second)
    assert checkpoint.newest_checkpoint(tmp_path) == first
    said = capsys.readouterr().err
    assert "step_00000020" in said and word in said
    with pytest.raises(CheckpointError, match=word):
        checkpoint.newest_checkpoint(second)


def test_valid_checkpoint_is_not_overwritten_and_damaged_one_is_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path, 10, "old")
    write(tmp_path, 10, "new")
    weights = folder / "model" / "model.safetensors"
    assert weights.read_text() == "old of 10"
    weights.write_text("broken")
    write(tmp_path, 10, "new")
    assert weights.read_text() == "new of 10"


def test_at_most_one_damaged_checkpoint_is_kept(tmp_path: Path) -> None:
    for text in ("new", "newer", "newest"):
        folder = write(tmp_path, 10, text)
        (folder / "model" / "model.safetensors").write_text(f"broken {text}")
    write(tmp_path, 10)
    (kept,) = tmp_path.glob(".damaged-*")
    assert (kept / "model" / "model.safetensors").read_text() == "broken newest"


def test_a_stale_rank_that_writes_on_does_not_keep_another_start_from_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = checkpoint.begin(tmp_path, 10, Start("7", 0))
    remove = os.rmdir

    def busy(path: Any, *arguments: Any, **options: Any) -> None:
        if str(path).endswith(stale.name):
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        remove(path, *arguments, **options)

    monkeypatch.setattr(os, "rmdir", busy)
    assert checkpoint.begin(tmp_path, 10, Start("7", 1)).is_dir()


def test_retention_keeps_the_newest_and_the_milestones(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        newest = write(tmp_path, step)
    checkpoint.retain(newest, keep=2, keep_every=20)
    assert [p.name[-2:] for p in sorted(tmp_path.glob("step_*"))] == ["20", "40", "50"]


def test_retention_never_deletes_the_one_just_written(tmp_path: Path) -> None:
    damaged = write(tmp_path, 300)
    (damaged / "manifest.json").unlink()
    checkpoint.retain(write(tmp_path, 250), keep=1, keep_every=0)
    assert checkpoint.newest_valid(tmp_path) == tmp_path / "step_00000250"


def test_a_run_does_not_start_over_while_all_its_checkpoints_are_damaged(tmp_path: Path) -> None:
    (write(tmp_path, 10) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"all 1 checkpoints .* are damaged"):
        checkpoint.newest_valid(tmp_path)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        checkpoint.newest_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        checkpoint.newest_checkpoint(tmp_path)


def test_manifest_lists_every_file(tmp_path: Path) -> None:
    manifest = json.loads((write(tmp_path, 10) / "manifest.json").read_text())
    assert list(manifest["files"]) == ["model/model.safetensors"]
