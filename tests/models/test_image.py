"""Image towers: sizes, normalisation, local weights, and what is said about wrong recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from mmfm.config.schema import ImageTowerConfig
from mmfm.errors import ConfigError, DataError
from mmfm.models.image import build_image_tower

NAME = "test_vit"  # timm's own tiny ViT: 160 pixels, patches of 16


@pytest.mark.parametrize("name", [NAME, "test_convnext", "mobilenetv3_small_100"])
def test_width_and_size(name: str) -> None:
    tower = build_image_tower(ImageTowerConfig(name=name), 48)
    assert tower(torch.zeros(2, 3, 48, 48, dtype=torch.uint8)).shape == (2, tower.width)


def test_pixels_are_normalised_alike_in_uint8_and_float() -> None:
    config = ImageTowerConfig(name=NAME, mean=[0.2, 0.4, 0.6], std=[0.1, 0.2, 0.3])
    tower = build_image_tower(config, 32)
    tower.body = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Conv2d(3, 3, 1))
    torch.nn.init.dirac_(tower.body[1].weight)
    torch.nn.init.zeros_(tower.body[1].bias)
    pixels = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    expected = torch.tensor([(0.2 - m) / s for m, s in zip(config.mean, config.std, strict=True)])
    torch.testing.assert_close(tower(pixels)[0, :, 0, 0], expected)
    torch.testing.assert_close(tower(pixels.float() / 255), tower(pixels))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_are_taken_without_their_classifier(tmp_path: Path, suffix: str) -> None:
    source = timm.create_model(NAME, num_classes=5)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, path)
    else:
        save_file(source.state_dict(), path)
    tower = build_image_tower(ImageTowerConfig(name=NAME, weights=str(path)), 160)
    torch.testing.assert_close(tower.body.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    smaller = build_image_tower(ImageTowerConfig(name=NAME, weights=str(path)), 64)
    assert smaller(torch.zeros(1, 3, 64, 64)).shape == (1, tower.width), "positions are resized"


def test_weights_of_another_model_are_refused_by_key(tmp_path: Path) -> None:
    state = timm.create_model(NAME, num_classes=0).state_dict()
    state["extra.weight"] = state.pop("norm.weight")
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(DataError, match=r"1 missing: norm.weight; 1 unexpected: extra.weight"):
        build_image_tower(ImageTowerConfig(name=NAME, weights=str(path)), 160)


def test_missing_weights_say_where_to_get_them(tmp_path: Path) -> None:
    path = tmp_path / "nothing.safetensors"
    with pytest.raises(DataError, match=r"nothing.safetensors not found.*hf download timm/test_vit"):
        build_image_tower(ImageTowerConfig(name=NAME, weights=str(path)), 160)


def test_weights_that_hold_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model(NAME), path)  # a pickled module
    with pytest.raises(DataError, match=r"cannot read weights .*weights.pth"):
        build_image_tower(ImageTowerConfig(name=NAME, weights=str(path)), 160)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ImageTowerConfig(name="resnet118"), r"resnet118.*not a timm model. Near: .*resnet1"),
        (ImageTowerConfig(name="hf-hub:timm/vit_tiny_patch16_224"), "not a timm model"),
        (ImageTowerConfig(name=NAME, options={"dept": 3}), r"model.image.options=.*dept"),
        (ImageTowerConfig(name=NAME, mean=[0.5]), r"model.image.mean=\[0.5\] must have three"),
        (ImageTowerConfig(name=NAME, options={"global_pool": ""}), "no pooled features"),
    ],
)
def test_wrong_recipes_are_named(config: ImageTowerConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_image_tower(config, 32)


def test_frozen_tower_stays_as_it_is() -> None:
    tower = build_image_tower(ImageTowerConfig(name="mobilenetv3_small_100", freeze=True), 32).train()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    features = tower(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    assert not features.requires_grad
    for name, value in tower.state_dict().items():
        assert torch.equal(value, before[name]), f"{name}: running statistics moved"
