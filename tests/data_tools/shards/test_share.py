"""Several tasks share the writing of one folder: the bytes are those of one process, whatever happens."""

from __future__ import annotations

import pytest

from data_tools.config import DedupConfig
from data_tools.shards import build
from data_tools.shards.build import prepare, shard, write_share
from mmfm.errors import ConfigError, DataError


def test_shares_make_the_bytes_of_one_process(recipe, tmp_path, digests, monkeypatch):
    shard(recipe("alone", dedup=DedupConfig()))
    config = recipe("shared", dedup=DedupConfig())
    prepare(config)
    monkeypatch.setattr(build, "find_duplicates", None)  # images are compared once, before the sharing
    for number in (2, 0, 1):
        write_share(config, number, 3)
    monkeypatch.setattr(build, "write_shard", lambda *_, **__: pytest.fail("a shard is missing"))
    shard(config)
    assert digests(tmp_path / "shared") == digests(tmp_path / "alone")


def test_shares_are_disjoint_and_a_finished_one_is_not_written_again(recipe, tmp_path):
    config = recipe()
    prepare(config)
    write_share(config, 0, 2)
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("*/*.tar")}
    write_share(config, 0, 2)
    write_share(config, 1, 2)
    every = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("*/*.tar")}
    assert 0 < len(first) < len(every)
    assert first.items() <= every.items()


def test_what_a_lost_task_leaves_out_is_written_when_merging(recipe, tmp_path, digests):
    shard(recipe("alone"))
    config = recipe("shared")
    prepare(config)
    write_share(config, 1, 2)
    shard(config)
    assert digests(tmp_path / "shared") == digests(tmp_path / "alone")


def test_a_share_of_nothing_that_was_settled_is_refused(recipe):
    with pytest.raises(DataError, match="no plan"):
        write_share(recipe(), 0, 2)


def test_a_share_of_another_recipe_is_refused(recipe, tmp_path):
    config = recipe()
    prepare(config)
    write_share(config, 0, 2)
    other = recipe()
    other.split.seed = 5
    with pytest.raises(ConfigError, match="shards of another plan"):
        write_share(other, 1, 2)


def test_a_new_plan_forgets_how_the_samples_of_the_old_one_were_dealt(recipe, tmp_path, digests):
    prepare(recipe("changed"))
    other, alone = recipe("changed"), recipe("alone")
    other.split.seed = alone.split.seed = 5
    shard(other)
    shard(alone)
    assert digests(tmp_path / "changed") == digests(tmp_path / "alone")
