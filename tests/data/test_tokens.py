"""The tokenizer, and the caches of token ids and text features beside the shards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfm.config.schema import DataConfig
from mmfm.data import tokens as tokens_module
from mmfm.data.batching import Batching
from mmfm.data.index import Split
from mmfm.data.stream import open_stream
from mmfm.data.textfeatures import TextFeatureCache
from mmfm.data.tokenizer import Tokenizer, fit_tokenizer
from mmfm.data.tokens import TokenCache
from mmfm.errors import DataError


def test_a_fitted_tokenizer_is_the_same_again_and_survives_its_file(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    texts = ["a dark lesion", "A melanoma, dark lesion!"]
    assert fit_tokenizer(texts, 300).fingerprint == fit_tokenizer(reversed(texts), 300).fingerprint
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode(texts, 16) == tokenizer.encode(texts, 16)
    assert loaded.pad_id == 0 and max(map(max, loaded.encode(texts, 16))) < loaded.vocab_size


def test_long_notes_are_cut_with_their_special_tokens(tokenizer: Tokenizer) -> None:
    whole, cut = (tokenizer.encode(["lesion " * 20], most)[0] for most in (96, 6))
    assert len(cut) == 6 < len(whole)
    assert (cut[0], cut[-1]) == (whole[0], whole[-1])
    assert cut[1:-1] == whole[1:5]


def test_tokenizers_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tokenizer at"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"no tokenizer\.json of"):
        Tokenizer.load(tmp_path)
    with pytest.raises(DataError, match="has no notes"):
        fit_tokenizer([" "], 100)


def test_cached_ids_are_those_of_the_notes(tiny: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    split = Split.open(tiny, "train")
    cache = TokenCache.open_or_build(split, tokenizer, ["D", "M"], 10, tmp_path)
    for sample in range(len(split)):
        notes = split.read_record(sample).notes
        for name in ("D", "M"):
            wanted = tokenizer.encode([notes[name].text], 10)[0] if name in notes else []
            assert cache.get(name, sample).tolist() == wanted
    assert cache.get("M", 0).dtype == np.uint16


def test_the_cache_is_built_once_and_anew_for_other_notes(
    tiny: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Split.open(tiny, "train")
    first = TokenCache.open_or_build(split, tokenizer, ["M"], 10, tmp_path).folder
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "encode", lambda *_: pytest.fail("tokenized again"))
        assert TokenCache.open_or_build(split, tokenizer, ["M"], 10, tmp_path).folder == first
    split.json_crc[3] += 1
    assert TokenCache.open_or_build(split, tokenizer, ["M"], 10, tmp_path).folder != first


def test_builders_that_race_leave_one_whole_cache(tiny: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    def build(_: int) -> int:
        cache = TokenCache.open_or_build(Split.open(tiny, "train"), tokenizer, ["M"], 10, tmp_path)
        return int(cache.has.sum())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(build, range(8))) == {38}
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_build_leaves_nothing(
    tiny: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> list[list[int]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tokenizer, "encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        TokenCache.open_or_build(Split.open(tiny, "train"), tokenizer, ["M"], 10, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_builds_left_is_removed_and_builds_that_go_on_are_not(
    tiny: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    split = Split.open(tiny, "train")
    cache = TokenCache.open_or_build(split, tokenizer, ["M"], 10, tmp_path).folder
    shutil.rmtree(cache)
    dead, alive = (tmp_path / f".{cache.name}-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "M.ids").write_text("half")
    os.utime(dead, (0, 0))
    TokenCache.open_or_build(split, tokenizer, ["M"], 10, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {cache.name, alive.name}


def test_builds_tell_that_they_get_on_and_can_be_ended(
    tiny: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "_MARK_SECONDS", 0.0)
    split = Split.open(tiny, "train")

    def encode(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.stack([ids.sum(1), mask.sum(1)], dim=1).float()

    def end() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenCache.open_or_build(split, tokenizer, ["D", "M"], 10, tmp_path, end)
    assert list(tmp_path.iterdir()) == []
    ticks: list[str] = []
    cache = TokenCache.open_or_build(split, tokenizer, ["D", "M"], 10, tmp_path, lambda: ticks.append("ids"))
    before = set(cache.folder.iterdir())
    with pytest.raises(KeyboardInterrupt):
        TextFeatureCache.open_or_build(cache, encode, "tower", tick=end)
    assert set(cache.folder.iterdir()) == before
    TextFeatureCache.open_or_build(cache, encode, "tower", tick=lambda: ticks.append("features"))
    assert set(ticks) == {"ids", "features"}


def test_a_cache_that_cannot_be_written_says_so(tiny: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the cache"):
        TokenCache.open_or_build(Split.open(tiny, "train"), tokenizer, ["M"], 10, tmp_path / "file")


def test_identical_notes_are_encoded_once(tiny: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    split = Split.open(tiny, "train")
    tokens = TokenCache.open_or_build(split, tokenizer, ["D", "M"], 20, tmp_path)
    seen: list[int] = []

    def encode(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append(len(ids))
        return torch.stack([(ids * mask).sum(1), mask.sum(1)], dim=1).float()

    cache = TextFeatureCache.open_or_build(tokens, encode, "tower")
    texts = {(n.strategy, n.text) for s in range(len(split)) for n in split.read_record(s).notes.values()}
    assert sum(seen) == len(texts) < 38 + 19
    for number, name in enumerate(tokens.strategies):
        for sample in np.flatnonzero(tokens.has[:, number]):
            ids = tokens.get(name, sample)
            got = cache.get(np.array([number]), np.array([sample]))
            assert got.dtype == np.float32 and got.tolist() == [[ids.sum(), len(ids)]]
    TextFeatureCache.open_or_build(tokens, encode, "tower")
    assert sum(seen) == len(texts)
    TextFeatureCache.open_or_build(tokens, encode, "another tower")
    assert sum(seen) == 2 * len(texts)


def test_the_stream_gives_features_of_the_notes_it_would_have_given(
    write_shards: Callable[..., Path], tmp_path: Path, data_config: DataConfig, tokenizer: Tokenizer
) -> None:
    data_config.shards = str(write_shards(tmp_path / "s", (9, 8)))

    def encode(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.stack([(ids * mask).sum(1), mask.sum(1), mask[:, 0]], dim=1).float()

    with open_stream(data_config, tokenizer, Batching(17), 1) as plain:
        batch = next(plain.batches())[0]
    with open_stream(data_config, tokenizer, Batching(17), 1, encode=encode, encode_key="k") as cached:
        frozen = next(cached.batches())[0]
    assert frozen.tokens is None and frozen.mask is None
    assert torch.equal(frozen.text_features, encode(batch.tokens, batch.mask))
    assert torch.equal(frozen.inputs()["images"], batch.images)
    shutil.rmtree(data_config.shards)
