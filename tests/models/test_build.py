"""The dual encoder and the classifier, and their folders."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmfm.config import load
from mmfm.config.schema import ModelConfig, PretrainConfig
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import CheckpointError, ConfigError
from mmfm.models.build import build_dual_encoder, load_model, save_model
from mmfm.models.classifier import Classifier
from mmfm.models.dual import DualEncoder
from mmfm.models.presets import PRESETS, preset_layer

Recipe = Callable[..., ModelConfig]
Sample = dict[str, Tensor]


def test_embeddings_have_unit_length_and_one_space(encoder: DualEncoder, sample: Sample) -> None:
    image, text, scale = encoder(**sample)
    assert image.shape == text.shape == (3, 128)
    torch.testing.assert_close(image.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(text.norm(dim=1), torch.ones(3))
    assert scale.shape == encoder.log_scale.shape == (1,)
    assert scale.item() == pytest.approx(1 / 0.07, rel=1e-6)


def test_cached_text_features_give_the_same_embeddings(encoder: DualEncoder, sample: Sample) -> None:
    pooled = encoder.text.encode_pooled(sample["tokens"], sample["mask"])
    _, text, _ = encoder(images=sample["images"], text_features=pooled)
    torch.testing.assert_close(text, encoder.encode_text(sample["tokens"], sample["mask"]))


def test_bfloat16_weights_give_float32_embeddings(encoder: DualEncoder, sample: Sample) -> None:
    expected = encoder(**sample)[0]
    found = encoder.bfloat16()(**sample)[0]
    assert found.dtype == torch.float32
    assert (found * expected).sum(dim=1).min() > 0.99


def test_scale_is_bounded_and_comes_back(encoder: DualEncoder) -> None:
    with torch.no_grad():
        encoder.log_scale.fill_(math.log(150))
    assert encoder.scale.item() == pytest.approx(100)
    encoder.scale.sum().backward()
    assert encoder.log_scale.grad is not None and encoder.log_scale.grad.item() > 0, "it must not be stuck"


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_all_parameters_learn(recipe: Recipe, tokenizer: Tokenizer, sample: Sample, head: str) -> None:
    model = build_dual_encoder(recipe(f"model.head={head}"), 32, tokenizer, 16)
    image, text, scale = model(**sample)
    (scale * image @ text.T).logsumexp(dim=1).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_demo_has_no_batch_statistics(encoder: DualEncoder) -> None:
    """They would make the numbers depend on the count of processes."""
    assert list(encoder.buffers()) == [] or not any(
        isinstance(m, nn.modules.batchnorm._BatchNorm) for m in encoder.modules()
    )


@pytest.mark.parametrize("inputs", ["image", "note", "both"])
def test_classifier_sees_what_it_should(encoder: DualEncoder, sample: Sample, inputs: str) -> None:
    classifier = Classifier(encoder, inputs).eval()
    logits = classifier(**sample)
    assert logits.shape == (3, 8) and logits.dtype == torch.float32
    other_image = classifier(**{**sample, "images": 255 - sample["images"]})
    other_note = classifier(**{**sample, "tokens": sample["tokens"].flip(0)})
    assert torch.equal(logits, other_image) == (inputs == "note")
    assert torch.equal(logits, other_note) == (inputs == "image")
    logits.sum().backward()
    assert [name for name, p in classifier.named_parameters() if p.grad is None] == []


def test_late_fusion_is_the_mean_of_both_opinions(encoder: DualEncoder, sample: Sample) -> None:
    classifier = Classifier(encoder, "both").eval()
    assert classifier.image_classifier is not None and classifier.text_classifier is not None
    image = classifier.image_classifier(encoder.image(sample["images"]))
    text = classifier.text_classifier(encoder.text(sample["tokens"], sample["mask"]))
    torch.testing.assert_close(classifier(**sample), (image + text) / 2)


def test_frozen_towers_leave_only_the_classifier(encoder: DualEncoder, sample: Sample) -> None:
    classifier = Classifier(encoder, "both").train()
    classifier.freeze_towers()
    trained = {name.split(".")[0] for name, p in classifier.named_parameters() if p.requires_grad}
    assert trained == {"image_classifier", "text_classifier"}
    assert torch.equal(classifier(**sample), classifier(**sample)), "frozen towers have no dropout"


@pytest.mark.parametrize("inputs", ["", "image", "note", "both"])
def test_folder_gives_the_model_back(
    encoder: DualEncoder, sample: Sample, tokenizer: Tokenizer, tmp_path: Path, inputs: str
) -> None:
    model = Classifier(encoder, inputs).eval() if inputs else encoder
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    for found, expected in zip(loaded.model(**sample), model(**sample), strict=True):
        assert torch.equal(found, expected)
    assert (loaded.kind, loaded.inputs) == ("classifier" if inputs else "dual", inputs)
    assert (loaded.image_size, loaded.max_tokens) == (32, 16)
    assert loaded.tokenizer.fingerprint == tokenizer.fingerprint


def test_folder_needs_no_original_weights(
    recipe: Recipe, tokenizer: Tokenizer, encoder: DualEncoder, sample: Sample, tmp_path: Path
) -> None:
    """A model that started from a local text tower is read where that tower is not."""
    source = tmp_path / "tower"
    encoder.text.body.save_pretrained(source)
    overrides = (f"model.text.name={source}", "model.text.freeze=true")
    model = build_dual_encoder(recipe(*overrides), 32, tokenizer, 16).eval()
    save_model(tmp_path / "saved", model)
    source.rename(tmp_path / "elsewhere")
    loaded = load_model(tmp_path / "saved")
    assert torch.equal(loaded.model(**sample)[1], model(**sample)[1])
    assert str(tmp_path) not in (tmp_path / "saved" / "model.yaml").read_text()
    assert loaded.config.text.freeze and loaded.model.text.frozen  # type: ignore[union-attr]


def test_gathered_state_and_shared_storage_are_saved(encoder: DualEncoder, tmp_path: Path) -> None:
    flat = torch.arange(sum(p.numel() for p in encoder.state_dict().values()), dtype=torch.float32)
    state, first = {}, 0
    for name, value in encoder.state_dict().items():  # as an engine that keeps weights in one buffer
        state[name] = flat[first : first + value.numel()].view(value.shape)
        first += value.numel()
    save_model(tmp_path, encoder, state)
    for name, value in load_model(tmp_path).model.state_dict().items():
        assert torch.equal(value.float(), state[name]), name


def damage_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def change_shape(folder: Path) -> None:
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("embed_dim: 128", "embed_dim: 64"))


def write_unknown_key(folder: Path) -> None:
    with (folder / "model.yaml").open("a") as file:
        file.write("surprise: 1\n")


def claim_newer_format(folder: Path) -> None:
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("format: 1", "format: 9"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, "cannot read weights"),
        (change_shape, r"image_head.weight \(128, 256\) instead of \(64, 256\)"),
        (write_unknown_key, "unknown key 'surprise'"),
        (claim_newer_format, "has format 9.*install a newer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), "not found"),
        (lambda folder: (folder / "model.yaml").unlink(), "is not a model folder"),
    ],
)
def test_damaged_folder_is_named(
    encoder: DualEncoder, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    save_model(tmp_path, encoder)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_yield_to_the_recipe(name: str) -> None:
    words = [f"model.preset={name}", "model.embed_dim=77"]
    config = load(PretrainConfig, None, words, base=preset_layer).model
    assert config.embed_dim == 77
    assert config.image.name == PRESETS[name]["image"]["name"]
    assert bool(config.text.name) != bool(config.text.config)


def test_recipe_replaces_the_text_tower_of_a_preset(recipe: Recipe) -> None:
    """With all that belongs to it: a fitted tokenizer would feed a pretrained tower nonsense."""
    named = recipe("model.text.name=somewhere").text
    assert (named.config, named.tokenizer) == ({}, "")
    described = recipe("model.preset=minilm_cpu", "model.text.config.model_type=bert").text
    assert (described.name, described.config, described.freeze) == ("", {"model_type": "bert"}, False)
    adjusted = recipe("model.text.config.hidden_size=64").text
    assert adjusted.config["num_hidden_layers"] == 2, "a changed key leaves the others"


def test_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'dmo' is not one of demo, "):
        load(PretrainConfig, None, ["model.preset=dmo"], base=preset_layer)
