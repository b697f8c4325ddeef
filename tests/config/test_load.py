from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from data_tools.config import ShardsConfig
from mmfm.config import load, to_yaml
from mmfm.config.load import require
from mmfm.config.schema import PretrainConfig
from mmfm.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_overrides_go_over_the_recipe_and_the_recipe_over_defaults(tmp_path: Path) -> None:
    recipe = write(tmp_path, "train: {steps: 7, global_batch: 8}\nrun: {name: a}\n")
    config = load(PretrainConfig, recipe, ["train.steps=9", "optim.lr=1e-3"])
    assert (config.train.steps, config.train.global_batch, config.train.seed) == (9, 8, 0)
    assert config.optim.lr == pytest.approx(1e-3)
    assert config.run.name == "a"


def test_preset_goes_below_the_recipe(tmp_path: Path) -> None:
    recipe = write(tmp_path, "model: {embed_dim: 32}\n")
    config = load(
        PretrainConfig,
        recipe,
        [],
        base=lambda given: OmegaConf.create({"model": {"embed_dim": 64, "head": "mlp"}}),
    )
    assert (config.model.embed_dim, config.model.head) == (32, "mlp")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {stepz: 7}\n", ["train.stepz", "recipe.yaml", "Did you mean train.steps"]),
        ("trian: {steps: 7}\n", ["trian", "Did you mean train?"]),
        ("train: {steps: many}\n", ["train.steps", "recipe.yaml", "many"]),
        ("train: 5\n", ["train", "recipe.yaml", "group of keys", "steps"]),
        ("train: {precision: fp8}\n", ["train.precision", "fp8", "fp32, bf16"]),
        ("train: {zero_stage: 5}\n", ["train.zero_stage", "at most 3"]),
        ("log: {every: 0}\n", ["log.every", "at least 1"]),
        ("optim: {betas: [0.9]}\n", ["optim.betas", "2 entries"]),
        ("optim: {betas: [0.9, 1.5]}\n", ["optim.betas", "at most"]),
        ("data: {window: 0}\n", ["data.window", "at least 1"]),
        ("data: {augment: {hue: -1}}\n", ["data.augment.hue", "at least 0"]),
        ("data: {augment: {scale: [0.5, 1.5]}}\n", ["data.augment.scale", "at most 1"]),
        ("data: {notes: {M: -1}}\n", ["data.notes", "at least 0"]),
        ("data: {weights: {label: [1]}}\n", ["recipe.yaml"]),
        ("model: {temperature: .nan}\n", ["model.temperature", "at least"]),
        ("- a\n- b\n", ["recipe.yaml", "mapping"]),
        ("a: [1\n", ["recipe.yaml", "YAML"]),
    ],
)
def test_a_bad_recipe_is_refused_by_name(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(PretrainConfig, write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_a_bad_override_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"optim\.learning_rate.*overrides"):
        load(PretrainConfig, None, ["optim.learning_rate=1"])
    with pytest.raises(ConfigError, match="key=value"):
        load(PretrainConfig, None, ["steps"])


def test_missing_recipe_lists_the_recipes_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"nothing\.yaml not found.*recipe\.yaml"):
        load(PretrainConfig, tmp_path / "nothing.yaml")


def test_require_names_the_missing_key() -> None:
    with pytest.raises(ConfigError, match=r"run\.name is not set"):
        require(load(PretrainConfig), "run.name")


def test_printed_config_loads_again(tmp_path: Path) -> None:
    config = load(PretrainConfig, None, ["run.name=a", "data.shards=s", "data.notes={M: 2.0}"])
    assert load(PretrainConfig, write(tmp_path, to_yaml(config))) == config


def test_lists_of_groups_are_checked_and_typed(tmp_path: Path) -> None:
    config = load(ShardsConfig, write(tmp_path, "sources: [{dataset: a, heldout: true}]\n"))
    assert config.sources[0].heldout and config.sources[0].kind == "table"
    with pytest.raises(ConfigError, match="heldouts"):
        load(ShardsConfig, write(tmp_path, "sources: [{heldouts: true}]\n"))
    with pytest.raises(ConfigError, match="kind"):
        load(ShardsConfig, write(tmp_path, "sources: [{kind: excel}]\n"))


@pytest.mark.parametrize(
    ("word", "way"), [("notes=M,K", "notes=[M,K]"), ("audit.exempt=R", "audit.exempt=[R]")]
)
def test_a_list_is_asked_for_where_one_is_meant(word: str, way: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"is a list: {re.escape(way)}"):
        load(ShardsConfig, None, [word])
    with pytest.raises(ConfigError, match=r"patches in .*recipe\.yaml is a list: patches=\[builtin\]"):
        load(ShardsConfig, write(tmp_path, "patches: builtin\n"))
    assert load(ShardsConfig, None, [f"notes=[{word.rpartition('=')[2]}]"]).notes[0] in ("M", "R")
