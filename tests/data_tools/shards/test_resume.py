"""Writing that was interrupted goes on; a folder of something else is left alone."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from killed import run_until_killed

from data_tools.config import PackConfig
from data_tools.shards import build, writer
from data_tools.shards.build import shard
from mmfm.errors import ConfigError, DataError


def write_until_killed(config, function: str, call: int) -> None:
    """Run `shard` in a process that is killed by SIGKILL in the given call of a function of the writer."""
    run_until_killed(lambda: shard(config), writer, function, call)


def inodes(folder: Path) -> dict[str, int]:
    return {f"{path.parent.name}/{path.name}": path.stat().st_ino for path in folder.glob("*/*.tar")}


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("jpeg_bytes", 1),
        ("jpeg_bytes", 30),
        ("build_index", 2),
        ("_move", 5),
        ("_move", 6),
        ("write_atomically", 2),
    ],
)
def test_killed_anywhere_then_the_same_bytes(recipe, tmp_path, digests, function, call):
    shard(recipe("undisturbed"))
    write_until_killed(recipe("killed"), function, call)
    assert not (tmp_path / "killed" / "dataset.json").exists()
    shard(recipe("killed"))
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")


def test_finished_shards_are_not_written_again(recipe, tmp_path):
    write_until_killed(recipe(), "jpeg_bytes", 30)
    before = inodes(tmp_path / "shards")
    shard(recipe())
    after = inodes(tmp_path / "shards")
    assert len(before) >= 3
    assert before.items() < after.items()


def test_a_shard_damaged_or_outdated_before_the_end_is_written_again(recipe, raw, tmp_path, digests):
    shard(recipe("undisturbed"))
    write_until_killed(recipe(), "jpeg_bytes", 30)
    first = tmp_path / "shards" / "train" / "tiny-000000.tar"
    os.truncate(first, 1000)
    (tmp_path / "shards" / "train" / "tiny-000001.idx.parquet").unlink()
    before = inodes(tmp_path / "shards")
    later = (first.stat().st_mtime + 10,) * 2
    for path in (raw / "images").iterdir():
        os.utime(path, later)
    shard(recipe())
    assert not before.items() & inodes(tmp_path / "shards").items()
    assert digests(tmp_path / "shards") == digests(tmp_path / "undisturbed")


def test_a_finished_folder_returns_at_once(recipe, tmp_path, monkeypatch):
    manifest = shard(recipe())
    before = inodes(tmp_path / "shards")
    monkeypatch.setattr("data_tools.shards.build.write_shard", None)
    assert shard(recipe(workers=2)) == manifest
    assert inodes(tmp_path / "shards") == before


def test_another_recipe_in_the_same_folder_is_refused(recipe, tmp_path, digests):
    shard(recipe())
    before = digests(tmp_path / "shards")
    changed = recipe(pack=PackConfig(samples_per_shard=7, quality=80, workers=1))
    with pytest.raises(ConfigError, match=r"pack\.quality is 92 there, 80 here.*another output.*delete"):
        shard(changed)
    assert digests(tmp_path / "shards") == before


def test_the_key_that_differs_is_named_also_within_a_source(recipe, tmp_path):
    shard(recipe())
    changed = recipe()
    changed.sources[0].domain = "clinical"
    with pytest.raises(ConfigError, match=r"sources\.0\.domain is 'drawn' there, 'clinical' here"):
        shard(changed)


def test_a_mended_recipe_starts_anew_where_no_image_could_be_packed(recipe, raw, tmp_path):
    config = recipe()
    shutil.copytree(raw / "images", raw / "sound")  # as old as the others
    for path in (raw / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="not an image"):
        shard(config)
    config.sources[0].images = "sound"
    assert shard(config).sources[0]["records"] == 48


def test_other_images_in_the_same_folder_are_refused(recipe, raw, draw):
    shard(recipe())
    draw(raw / "images" / "img03.jpg", 999)
    with pytest.raises(ConfigError, match="have changed since"):
        shard(recipe())


def test_a_folder_of_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "shards" / "train").mkdir(parents=True)
    (tmp_path / "shards" / "train" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(ConfigError, match="not empty and holds no shards"):
        shard(recipe())
    assert [path.name for path in (tmp_path / "shards").rglob("*")] == ["train", "cat.jpg"]


def test_two_writers_do_not_share_a_folder(recipe, tmp_path):
    write_until_killed(recipe(), "jpeg_bytes", 30)
    with (tmp_path / "shards" / ".parts" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = (tmp_path / "shards" / "plan.json").read_bytes()
        for path in (tmp_path / "shards").glob("*/*.tar"):
            path.unlink()  # so that the plan could be replaced
        for config in (recipe(), recipe(pack=PackConfig(samples_per_shard=9, workers=1))):
            with pytest.raises(DataError, match="another process is writing"):
                shard(config)
        assert (tmp_path / "shards" / "plan.json").read_bytes() == before


def test_shards_that_another_process_finished_meanwhile_are_kept(recipe, tmp_path, monkeypatch):
    lock = build.hold

    def lock_late(output: Path):
        monkeypatch.setattr(build, "hold", lock)
        shard(recipe())
        monkeypatch.setattr(build, "write_shard", None)
        return lock(output)

    monkeypatch.setattr(build, "hold", lock_late)
    assert shard(recipe()).sources[0]["records"] == 48
    assert not (tmp_path / "shards" / ".parts").exists()


def test_other_folders_of_the_same_data_give_the_same_bytes(recipe, raw, tmp_path, digests):
    shard(recipe("here"))
    shutil.copytree(raw, tmp_path / "elsewhere" / "raw", copy_function=shutil.copy)  # new times as well
    config = recipe("there")
    config.root = str(tmp_path / "elsewhere" / "raw")
    shard(config)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
