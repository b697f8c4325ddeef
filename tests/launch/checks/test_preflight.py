"""What a dry run finds out before anything waits in a queue."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import training_processes as runs

from launch.checks.forecast import checkpoint_bytes, folder_bytes, room
from launch.checks.preflight import check, survey
from launch.recipes.commands import load_config
from mmfm.config.schema import PretrainConfig
from mmfm.errors import CheckpointError, ConfigError, DataError, UserError
from mmfm.models.build import load_model
from mmfm.models.size import ModelSize, dual_size

Make = Callable[..., PretrainConfig]
ON_SLURM = ("cluster=slurm", "cluster.gpus=''", "cluster.processes=1")


@pytest.fixture
def make(shards_folder: Path, tmp_path: Path) -> Make:
    """make(*overrides): the config of a tiny pretraining run in `tmp_path`."""

    def config(*overrides: str) -> PretrainConfig:
        where = [f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=run"]
        made: PretrainConfig = load_config("pretrain", None, [*runs.TINY, *where, *overrides])
        return made

    return config


def where_of(config: PretrainConfig) -> list[str]:
    return [f"data.shards={config.data.shards}", f"run.root={config.run.root}", f"run.name={config.run.name}"]


def refusal(config: PretrainConfig, kind: type[UserError] = ConfigError) -> str:
    with pytest.raises(kind) as raised:
        check(config)
        survey(config)
    return str(raised.value)


def test_every_number_of_nodes_that_slurm_may_give_must_share_the_batch(make: Make) -> None:
    nodes = (*ON_SLURM, "cluster.min_nodes=2", "cluster.nodes=4")
    assert "samples in train" in check(make(*nodes, "train.global_batch=24"))
    message = refusal(make(*nodes, "train.global_batch=16"))
    assert "on 3 of cluster.min_nodes=2 to cluster.nodes=4 nodes: train.global_batch=16" in message


def test_shards_must_be_whole_and_hold_a_batch(make: Make, shards_folder: Path, tmp_path: Path) -> None:
    assert "more than the" in refusal(make("train.global_batch=100000"))
    assert "samples in train" in check(make("train.global_batch=100000", "data.weights.dataset.drawn=9999"))
    copy = tmp_path / "copy"
    shutil.copytree(shards_folder, copy)
    tar = next(copy.glob("train/*.tar"))
    tar.write_bytes(tar.read_bytes()[:-512])
    assert f"{tar} has {tar.stat().st_size} bytes" in refusal(make(f"data.shards={copy}"), DataError)
    tar.unlink()
    assert f"{tar} is missing" in refusal(make(f"data.shards={copy}"), DataError)


def test_a_model_that_cannot_be_built_is_refused(make: Make, tmp_path: Path) -> None:
    assert "Near: vit_small" in refusal(make("model.image.name=vit_smal_patch16_224"))
    assert "missing.safetensors not found" in refusal(
        make("model.image.weights=missing.safetensors"), DataError
    )
    assert str(tmp_path / "away") in refusal(make(f"init={tmp_path / 'away'}"), CheckpointError)


def test_want_of_room_is_refused_before_it_is_met(make: Make) -> None:
    config = make("checkpoint.keep=3", "checkpoint.keep_every=100", "train.steps=1000")
    found = room(config)  # while step 1000 is saved: three before it, and 100 to 900
    assert (found.kept, found.wanted) == (3 + 9, found.each * (3 + 9 + 1))
    config.train.steps = 1001
    assert room(config).kept == 3 + 10
    assert refusal(make("checkpoint.keep=1000000000")).startswith("checkpoints: ")


def test_a_frozen_tower_is_counted_once(make: Make) -> None:
    free, frozen = make(), make("model.text.freeze=true")
    sizes = [
        dual_size(config.model, config.data.image_size, config.data.max_tokens) for config in (free, frozen)
    ]
    assert sizes[0].parameters == sizes[0].trained == sizes[1].parameters > sizes[1].trained
    assert checkpoint_bytes(frozen) < checkpoint_bytes(free)


def test_evaluations_on_the_way_need_checkpoints_that_stay(make: Make) -> None:
    recipe = ("evals.every=20", "evals.recipe=configs/evaluate/demo.yaml", *ON_SLURM)
    assert "Set checkpoint.keep_every=20" in refusal(make(*recipe))
    assert "nothing is saved" in refusal(make(*recipe, "checkpoint.keep_every=20", "checkpoint.every=15"))
    assert check(make(*recipe, "checkpoint.keep_every=10", "checkpoint.every=5"))


def test_time_is_told_from_the_metrics_of_the_run(make: Make, tmp_path: Path) -> None:
    config = make("cluster.hours=1", "checkpoint.every=1000", "train.steps=3000")
    assert "not known" in "\n".join(survey(config))
    lines = [{"step": 10, "samples_per_s": 1.0}, {"step": 20, "samples_per_s": 4.0}]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 30, "sam')
    text = "\n".join(survey(config))
    assert "time: 4 s a step" in text and "66.7 min from save to save, 3.33 h to the last step" in text
    assert "warning" in text and "Set checkpoint.every=450" in text
    assert "warning" not in "\n".join(survey(make("cluster.hours=2", "checkpoint.every=1000")))


def test_folders_that_other_nodes_do_not_see_are_warned_of(make: Make) -> None:
    local, shared = (survey(make(*ON_SLURM, f"run.root={root}")) for root in ("/tmp/runs", "/srv/runs"))
    assert any(line.startswith("warning: run.root=/tmp/runs") for line in local)
    assert not any("run.root" in line and line.startswith("warning") for line in shared)


def test_a_job_that_is_over_when_it_begins_is_refused(make: Make) -> None:
    assert "cluster.save_seconds=90" in refusal(make(*ON_SLURM, "cluster.hours=0.02"))


def test_size_of_model_and_checkpoints_are_those_of_a_run(make: Make, tmp_path: Path) -> None:
    config = make("train.steps=1", "train.zero_stage=2")
    runs.train("pretrain", 1, *where_of(config), "train.steps=1", "train.zero_stage=2")
    newest = tmp_path / "run" / "checkpoints" / "step_00000001"
    model = load_model(newest / "model").model
    other = (
        "run.name=other",
        "train.zero_stage=2",
        f"model.text.vocab_size={model.spec.tokenizer.vocab_size}",
    )
    anew, begun = make(*other), make(*other, f"init={tmp_path / 'run'}")
    assert dual_size(anew.model, anew.data.image_size, anew.data.max_tokens) == ModelSize.of(model)
    assert checkpoint_bytes(anew) == checkpoint_bytes(begun)
    assert checkpoint_bytes(anew) == pytest.approx(folder_bytes(newest), rel=0.1)
    assert room(config).each == folder_bytes(newest)
