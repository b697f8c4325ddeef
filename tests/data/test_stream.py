"""The elastic stream: one order for every number of processes and threads, resumed anywhere."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfm.config.schema import AugmentConfig, DataConfig, TrainConfig, WeightConfig
from mmfm.data.batch import Batch
from mmfm.data.batching import Batching
from mmfm.data.index import CorruptSample, Split
from mmfm.data.stream import choose_notes, open_stream
from mmfm.data.tokenizer import Tokenizer
from mmfm.errors import ConfigError, DataError

SAMPLES = 38


@pytest.fixture(scope="module")
def module_config(tiny: Path) -> DataConfig:
    return DataConfig(
        shards=str(tiny), image_size=16, notes={"M": 0.5, "D": 0.5}, window=2, workers=0, prefetch=2
    )


def take(
    config: DataConfig, tokenizer: Tokenizer | None, batching: Batching, steps: int, start: int = 0
) -> list[Batch]:
    """All micro-batches of the first steps."""
    with open_stream(config, tokenizer, batching, seed=5) as stream:
        return list(itertools.chain.from_iterable(itertools.islice(stream.batches(start), steps)))


def rows(batches: list[Batch]) -> dict[int, tuple[str, int, bytes, bytes]]:
    """By position: key, label, note (padding cut) and image."""
    found = {}
    for batch in batches:
        for i, position in enumerate(batch.positions.tolist()):
            note = batch.tokens[i][batch.mask[i].bool()].numpy().tobytes()
            found[position] = (batch.keys[i], int(batch.labels[i]), note, batch.images[i].numpy().tobytes())
    return found


@pytest.fixture(scope="module")
def reference(module_config: DataConfig, tokenizer: Tokenizer) -> dict[int, tuple[str, int, bytes, bytes]]:
    """Positions 0 to 96 (two and a half epochs) as one process without threads sees them."""
    return rows(take(module_config, tokenizer, Batching(16), steps=6))


@settings(max_examples=12, deadline=None)
@given(
    world=st.integers(1, 16),
    per_rank=st.integers(1, 3),
    accumulation=st.integers(1, 2),
    workers=st.integers(0, 4),
    start=st.integers(0, 60),
)
def test_any_world_any_workers_any_start_is_one_order(
    module_config: DataConfig, tokenizer: Tokenizer, reference: dict, **drawn: int
) -> None:
    world, share, start = drawn["world"], drawn["per_rank"] * drawn["accumulation"], drawn["start"]
    config = replace(module_config, workers=drawn["workers"])
    steps = (len(reference) - start) // (world * share)
    seen: dict[int, tuple] = {}
    for rank in range(world):
        batching = Batching(world * share, drawn["per_rank"], rank, world)
        batches = take(config, tokenizer, batching, steps, start)
        assert all(len(batch) == drawn["per_rank"] for batch in batches)
        seen |= rows(batches)
    assert sorted(seen) == list(range(start, start + steps * world * share))
    assert seen == {position: reference[position] for position in seen}


def test_each_rank_gets_its_contiguous_share_in_order(
    module_config: DataConfig, tokenizer: Tokenizer
) -> None:
    batches = take(module_config, tokenizer, Batching(12, 2, rank=1, world=3), steps=2)
    assert [batch.positions.tolist() for batch in batches] == [[4, 5], [6, 7], [16, 17], [18, 19]]


def test_an_epoch_holds_every_sample_once(reference: dict) -> None:
    keys = [reference[position][0] for position in range(SAMPLES)]
    assert len(set(keys)) == SAMPLES
    assert [reference[position][0] for position in range(SAMPLES, 2 * SAMPLES)] != keys


def test_a_second_epoch_draws_crops_anew(reference: dict) -> None:
    first = {reference[p][0]: reference[p][3] for p in range(SAMPLES)}
    again = {reference[p][0]: reference[p][3] for p in range(SAMPLES, 2 * SAMPLES)}
    assert sum(first[key] == again[key] for key in first) == 0


def test_another_seed_is_another_order(module_config: DataConfig, tokenizer: Tokenizer) -> None:
    with open_stream(module_config, tokenizer, Batching(8), seed=6) as stream:
        other = next(stream.batches())[0].keys
    assert other != take(module_config, tokenizer, Batching(8), steps=1)[0].keys


def test_starting_far_ahead_reads_nothing_before(
    data_config: DataConfig, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_stream(data_config, tokenizer, Batching(8), seed=5) as stream:
        read: list[int] = []
        original = Split.read_image
        monkeypatch.setattr(Split, "read_image", lambda self, s: read.append(s) or original(self, s))
        next(stream.batches(10**9))
        assert len(read) == 8
        assert read == stream.order.samples(10**9, 10**9 + 8).tolist()


def test_notes_are_chosen_by_share_among_those_there(data_config: DataConfig, tokenizer: Tokenizer) -> None:
    batches = take(replace(data_config, notes={"M": 1.0, "D": 9.0}), tokenizer, Batching(38), steps=20)
    split = Split.open(data_config.shards, "train")
    having = {split.keys[s] for s in range(len(split)) if "D" in split.read_record(s).notes}
    (_, dark, _) = tokenizer.encode(["dark"], 8)[0]
    chosen = Counter(
        (key in having, bool((row == dark).any()))
        for batch in batches
        for key, row in zip(batch.keys, batch.tokens, strict=True)
    )
    assert chosen[False, True] == 0  # a note that is not there is never chosen
    assert chosen[True, True] / (chosen[True, True] + chosen[True, False]) == pytest.approx(0.9, abs=0.06)


def test_samples_without_a_wanted_note_are_left_out_and_counted(
    data_config: DataConfig, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they are where the audit has refused all that was written for them."""
    with open_stream(replace(data_config, notes={"D": 1.0}), tokenizer, Batching(2), seed=0) as stream:
        having = [s for s in range(len(stream.split)) if "D" in stream.split.read_record(s).notes]
        assert sorted(stream.order.samples(0, stream.epoch_length)) == having
        left = len(stream.split) - len(having)
    assert having and f"{left} of {len(stream.split)} samples" in capsys.readouterr().err


def test_choose_notes_takes_the_only_one() -> None:
    has = np.array([[True, False], [False, True]] * 50)
    chosen = choose_notes(np.array([0.01, 0.99]), has, 0, np.arange(100))
    assert chosen.tolist() == [0, 1] * 50


def test_tokens_are_trimmed_to_the_longest_and_padded(data_config: DataConfig, tokenizer: Tokenizer) -> None:
    batch = take(data_config, tokenizer, Batching(6), steps=1)[0]
    assert batch.tokens.dtype == batch.mask.dtype == torch.int64
    assert batch.mask.sum(dim=1).max() == batch.tokens.shape[1]
    assert (batch.tokens[batch.mask == 0] == tokenizer.pad_id).all()
    assert batch.images.shape == (6, 3, 16, 16) and batch.images.dtype == torch.uint8


def test_without_a_tokenizer_there_is_no_text(data_config: DataConfig) -> None:
    batch = take(data_config, None, Batching(6), steps=1)[0]
    assert batch.tokens is None and batch.mask is None and batch.text_features is None


def test_weights_change_how_often_datasets_are_seen(data_config: DataConfig, tokenizer: Tokenizer) -> None:
    config = replace(data_config, weights=WeightConfig(dataset={"beta": 3.0, "alpha": 1.0}))
    with open_stream(config, tokenizer, Batching(4), seed=0) as stream:
        counts = Counter(stream.split.dataset[stream.order.samples(0, stream.epoch_length)])
        there = Counter(stream.split.dataset)
    assert counts["alpha"] == there["alpha"]
    assert counts["beta"] == 3 * there["beta"]


def test_labelled_leaves_out_unknown_classes(
    write_shards: Callable[..., Path], tmp_path: Path, tokenizer: Tokenizer, data_config: DataConfig
) -> None:
    def forget(record: object) -> None:
        record.label = -1 if record.label == 2 else record.label

    config = replace(data_config, shards=str(write_shards(tmp_path / "s", (8, 8), forget)))
    with open_stream(config, tokenizer, Batching(4), seed=0, labelled=True) as stream:
        assert stream.epoch_length == 14
        assert (stream.split.label[stream.order.samples(0, 14)] >= 0).all()


def test_device_augmentation_equals_that_on_the_cpu(data_config: DataConfig, tokenizer: Tokenizer) -> None:
    for augment in (AugmentConfig(), AugmentConfig(brightness=0, contrast=0, saturation=0, hue=0)):
        config = replace(data_config, augment=augment, image_size=24)
        there = take(replace(config, augment_on="device"), tokenizer, Batching(19), steps=4)
        here = take(replace(config, augment_on="cpu"), tokenizer, Batching(19), steps=4)
        for one, two in zip(there, here, strict=True):
            difference = one.to("cpu").images.int() - two.to("cpu").images.int()
            assert difference.abs().max() <= (1 if augment.hue else 0)
            assert not torch.equal(one.images, two.images)  # there was something to do


@pytest.fixture
def damaged(
    write_shards: Callable[..., Path], tmp_path: Path, data_config: DataConfig
) -> tuple[DataConfig, set[str]]:
    """Shards with two images overwritten, one JSON altered and the last tar cut short; and the keys hurt."""
    folder = write_shards(tmp_path / "damaged")
    split = Split.open(folder, "train")
    hurt = set()
    for sample, offset in (
        (3, split.image_offset[3]),
        (20, split.image_offset[20]),
        (8, split.json_offset[8]),
    ):
        with split.shard_paths[split.shard[sample]].open("r+b") as tar:
            tar.seek(int(offset) + 4)
            tar.write(b"\0" * 40)
        hurt.add(split.keys[sample])
    last = split.shard_paths[-1]
    with last.open("r+b") as tar:
        tar.truncate(int(split.image_offset[-1]) + 10)
    hurt.add(split.keys[-1])
    return replace(data_config, shards=str(folder), max_corrupt_share=0.5), hurt


def test_corrupt_samples_are_replaced_alike_everywhere_and_counted(
    damaged: tuple[DataConfig, set[str]], tokenizer: Tokenizer
) -> None:
    config, hurt = damaged
    with open_stream(config, tokenizer, Batching(12), seed=5) as stream:
        alone = rows([batch for step in itertools.islice(stream.batches(), 6) for batch in step])
        order = [stream.split.keys[s] for s in stream.order.samples(0, 72)]
        assert set(stream.corrupt) == {"altered", "truncated"}
        assert stream.corrupt.total() >= sum(key in hurt for key in order)
        assert stream.read == 72
    assert hurt <= set(order)
    assert all((alone[p][0] == order[p]) == (order[p] not in hurt) for p in alone)
    threaded = replace(config, workers=3)
    ranks = [take(threaded, tokenizer, Batching(12, 1, rank, 4), 6) for rank in range(4)]
    assert rows([batch for batches in ranks for batch in batches]) == alone


def test_too_many_corrupt_samples_stop_the_stream(
    damaged: tuple[DataConfig, set[str]], tokenizer: Tokenizer
) -> None:
    config = replace(damaged[0], max_corrupt_share=0.02)
    with pytest.raises(DataError, match=r"too many corrupt samples.*mmfm data verify"):
        take(config, tokenizer, Batching(12), steps=20)


def test_a_mended_record_is_used_again(
    damaged: tuple[DataConfig, set[str]],
    tokenizer: Tokenizer,
    write_shards: Callable[..., Path],
    tmp_path: Path,
) -> None:
    config, _ = damaged
    take(config, tokenizer, Batching(4), steps=1)  # builds the cache of tokens without the damaged record
    whole = Path(write_shards(tmp_path / "whole"))
    for tar in (whole / "train").glob("*.tar"):
        (Path(config.shards) / "train" / tar.name).write_bytes(tar.read_bytes())
    with open_stream(config, tokenizer, Batching(38), seed=5) as stream:
        next(stream.batches())
        assert not stream.corrupt


def test_a_shard_in_which_nothing_can_be_read_is_an_error(
    write_shards: Callable[..., Path], tmp_path: Path, data_config: DataConfig
) -> None:
    folder = write_shards(tmp_path / "s", (6,))
    (folder / "train" / "set-000000.tar").write_bytes(b"")
    with pytest.raises(DataError, match="No readable sample"):
        take(replace(data_config, shards=str(folder)), None, Batching(6), steps=1)


def test_an_error_in_a_thread_reaches_the_reader(
    data_config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Split, sample: int) -> bytes:
        raise CorruptSample("altered", "k")

    monkeypatch.setattr(Split, "read_image", fail)
    with pytest.raises(DataError, match="No readable sample"):
        take(replace(data_config, workers=2), None, Batching(6), steps=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": "/no/such/folder"}, "no folder of shards"),
        ({"split": "val"}, r"split 'val'.*has no samples.*train \(38\)"),
        ({"split": "trian"}, r"split 'trian'.*train \(38\)"),
        ({"notes": {"Q": 1.0}}, r"data\.notes asks for Q.*D, M"),
        ({"notes": {"M": 0.0}}, r"data\.notes"),
        ({"augment": AugmentConfig(scale=[0.9, 0.5])}, r"data\.augment\.scale"),
        ({"weights": WeightConfig(dataset={"alpa": 2.0})}, "did you mean alpha"),
        ({"weights": WeightConfig(label={"MELA": 2.0})}, "did you mean MEL"),
        ({"weights": WeightConfig(label={"MEL": -1.0})}, "negative"),
        ({"weights": WeightConfig(dataset={"alpha": 0.0, "beta": 0.0})}, "leave no sample"),
    ],
)
def test_what_cannot_be_used_is_named(
    data_config: DataConfig, tokenizer: Tokenizer, change: dict, message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        open_stream(replace(data_config, **change), tokenizer, Batching(4), seed=0)


def test_a_missing_shard_is_named_at_opening(
    write_shards: Callable[..., Path], tmp_path: Path, data_config: DataConfig
) -> None:
    folder = write_shards(tmp_path / "s")
    (folder / "train" / "set-000001.tar").unlink()
    with pytest.raises(DataError, match=r"set-000001\.tar is missing.*mmfm data verify"):
        open_stream(replace(data_config, shards=str(folder)), None, Batching(4), seed=0)


def test_batches_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 3"):
        Batching(16, 0, 0, 3)
    with pytest.raises(ConfigError, match="micro_batch=3"):
        Batching(16, 3, 0, 2)


def test_batching_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    batching = Batching.of_environment(TrainConfig(global_batch=32, micro_batch=4))
    assert batching == Batching(32, 4, 2, 4) and batching.accumulation == 2
