"""The order: every sample once an epoch, weighted draws, any position at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfm.config.schema import WeightConfig
from mmfm.data.counter import hashed, uniforms
from mmfm.data.index import Split
from mmfm.data.plan import Order, weigh
from mmfm.taxonomy import UNKNOWN_LABEL

SHARDS = st.lists(st.integers(1, 12), min_size=1, max_size=9)


def even_order(sizes: list[int], seed: int, window: int) -> Order:
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    return Order(shard_of, np.zeros(len(shard_of), int), np.ones(1), seed, window)


@settings(max_examples=60, deadline=None)
@given(sizes=SHARDS, seed=st.integers(0, 2**40), window=st.integers(1, 12), epoch=st.integers(0, 10**6))
def test_every_epoch_holds_every_sample_once(sizes: list[int], seed: int, window: int, epoch: int) -> None:
    order = even_order(sizes, seed, window)
    start = epoch * order.epoch_length
    assert sorted(order.samples(start, start + order.epoch_length)) == list(range(sum(sizes)))


@settings(max_examples=60, deadline=None)
@given(sizes=SHARDS, window=st.integers(1, 12), start=st.integers(0, 300), length=st.integers(0, 200))
def test_any_piece_is_that_of_the_whole(sizes: list[int], window: int, start: int, length: int) -> None:
    whole = even_order(sizes, 3, window).samples(0, 500)
    assert (
        even_order(sizes, 3, window).samples(start, start + length) == whole[start : start + length]
    ).all()


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    weights=st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0, 1.7, 3.0]), min_size=3, max_size=3),
    window=st.integers(1, 6),
    epochs=st.integers(1, 4),
)
def test_weighted_draws_are_exact_and_shared_evenly(
    groups: list[int], weights: list[float], window: int, epochs: int
) -> None:
    group_of, sizes = np.array(groups), np.bincount(groups, minlength=3)
    wanted = np.round(np.array(weights) * sizes).astype(int)
    order = Order(np.arange(len(groups)) // 7, group_of, np.array(weights), 1, window)
    assert order.epoch_length == wanted.sum()
    if not order.epoch_length:
        return
    drawn = np.zeros(len(groups), int)
    for epoch in range(epochs):
        start = epoch * order.epoch_length
        counts = np.bincount(order.samples(start, start + order.epoch_length), minlength=len(groups))
        assert (np.bincount(group_of, counts, minlength=3) == wanted).all()
        drawn += counts
    for group in np.unique(group_of):  # over epochs, too, no sample is more than one draw ahead
        assert np.ptp(drawn[group_of == group]) <= 1


def test_half_weight_is_every_other_epoch() -> None:
    order = Order(np.zeros(8, int), np.zeros(8, int), np.array([0.5]), 0, 1)
    assert sorted(order.samples(0, 8)) == list(range(8))


def test_samples_are_mixed_within_a_window_of_shards() -> None:
    order = even_order([10] * 12, 0, 3)
    for start in range(0, 120, 30):
        assert len(set(order.samples(start, start + 30) // 10)) == 3
    assert not (np.diff(order.samples(0, 120)) == 1).all()


def test_a_far_position_is_reached_without_the_way_there() -> None:
    order = even_order([50] * 20, 0, 4)
    mixed = []
    original = order._mixed
    order._mixed = lambda *window: mixed.append(window) or original(*window)
    order.samples(10**12, 10**12 + 8)
    assert len(mixed) <= 2


def test_balance_makes_classes_equally_frequent(tiny: Path) -> None:
    split = Split.open(tiny, "train")
    split.label = np.where(
        np.arange(len(split)) < 30, 2, np.where(np.arange(len(split)) < 36, 5, UNKNOWN_LABEL)
    )
    kept = np.ones(len(split), bool)
    groups, repeat = weigh(split, WeightConfig(balance=1.0), kept)
    expected = np.bincount(split.label + 1, repeat[groups])
    assert expected[[3, 6]] == pytest.approx([18, 18])
    assert expected[0] == 2  # unknown classes are left alone
    groups, repeat = weigh(split, WeightConfig(), kept)
    assert (repeat[groups] == 1).all()


def test_what_is_not_kept_is_never_drawn(tiny: Path) -> None:
    split = Split.open(tiny, "train")
    kept = np.arange(len(split)) % 3 > 0
    order = Order(split.shard, *weigh(split, WeightConfig(dataset={"alpha": 2.0}), kept), 0, 2)
    assert kept[order.samples(0, 5 * order.epoch_length)].all()


def test_counter_numbers_are_uniform_and_independent_of_company() -> None:
    numbers = uniforms(7, "x", np.arange(20000), 3)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert numbers.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.01)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03
    assert (uniforms(7, "x", np.array([123]), 3)[0] == numbers[123]).all()
    assert hashed(7, "x", np.arange(5)).tolist() != hashed(7, "y", np.arange(5)).tolist()
    assert len(np.unique(hashed(8, "x", np.arange(20000)))) == 20000
