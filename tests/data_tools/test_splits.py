"""Splits: nothing on two sides, whatever the order; shares and strata as asked."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.config import SplitConfig
from data_tools.splits import assign_splits, group_records
from mmfm.errors import ConfigError
from mmfm.records import Record

Case = tuple[list[Record], list[bool], list[tuple[int, int, int]]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Records of a trained-on and a held-out data set that share lesions, patients and near-duplicates."""
    count = draw(st.integers(1, 60))
    held = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    ids = st.one_of(st.just(""), st.integers(0, count // 2).map(str))
    records = [
        Record(
            dataset="held" if held[i] else draw(st.sampled_from(("one", "two"))),
            image_id=str(i),
            domain="clinical",
            lesion_id=draw(ids),
            patient_id=draw(ids),
            label=draw(st.integers(-1, 3)),
        )
        for i in range(count)
    ]
    places = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(places, places, st.integers(0, 10)), max_size=10))
    return records, held, pairs


@given(cases(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_groups_stay_on_one_side(case: Case, seed: int) -> None:
    records, held, pairs = case
    splits = assign_splits(records, held, SplitConfig(seed=seed), pairs)
    for name in ("lesion_id", "patient_id"):
        sides = defaultdict(set)
        for record, split in zip(records, splits, strict=True):
            if getattr(record, name) and split:
                sides[getattr(record, name)].add(split)
        assert all(len(side) == 1 for side in sides.values())
    for i, j, _ in pairs:
        assert len({splits[i], splits[j]} - {""}) <= 1


@given(cases())
@settings(max_examples=150, deadline=None)
def test_heldout_rule(case: Case) -> None:
    records, held, pairs = case
    splits = assign_splits(records, held, SplitConfig(), pairs)
    groups = group_records(records, pairs)
    trained = {group: split for group, split, out in zip(groups, splits, held, strict=True) if not out}
    for group, split, out in zip(groups, splits, held, strict=True):
        if not out:
            assert split in ("train", "val", "test")
        elif group not in trained:
            assert split == "test"
        else:
            assert split == ("test" if trained[group] == "test" else "")


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_of_records_does_not_matter(case: Case, chance: random.Random) -> None:
    records, held, pairs = case
    order = list(range(len(records)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = assign_splits(
        [records[i] for i in order],
        [held[i] for i in order],
        SplitConfig(),
        [(place[i], place[j], d) for i, j, d in pairs],
    )
    expected = assign_splits(records, held, SplitConfig(), pairs)
    assert shuffled == [expected[i] for i in order]


@given(st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(0, 7)), st.integers(1, 80), min_size=1))
@settings(max_examples=60, deadline=None)
def test_shares_hold_in_every_stratum(sizes: dict[tuple[str, int], int]) -> None:
    cfg = SplitConfig(val=0.1, test=0.2)
    records = [
        Record(dataset=name, image_id=f"{label}.{i}", domain="", label=label)
        for (name, label), size in sizes.items()
        for i in range(size)
    ]
    splits = assign_splits(records, [False] * len(records), cfg)
    counts = Counter((r.dataset, r.label, split) for r, split in zip(records, splits, strict=True))
    for stratum, size in sizes.items():
        test, val, train = (counts[(*stratum, name)] for name in ("test", "val", "train"))
        assert train >= 1 and abs(test - 0.2 * size) <= 1 and abs(val - 0.1 * size) <= 1
        assert size < 3 or min(test, val) >= 1


def test_seed_changes_the_assignment() -> None:
    records = [Record("a", str(i), "", label=0) for i in range(200)]
    one, two = (assign_splits(records, [False] * 200, SplitConfig(seed=seed)) for seed in (0, 1))
    assert one != two and Counter(one) == Counter(two)


def test_groups_are_transitive() -> None:
    records = [
        Record("a", "0", "", lesion_id="L"),
        Record("a", "1", "", lesion_id="L", patient_id="P"),
        Record("b", "2", "", patient_id="P"),
        Record("b", "3", ""),
        Record("b", "4", ""),
    ]
    groups = group_records(records, [(2, 3, 5)])
    assert len(set(groups[:4])) == 1 and groups[4] != groups[0]


@pytest.mark.parametrize("shares", [{"val": 0.5, "test": 0.5}, {"val": -0.1}, {"test": 1.5}])
def test_impossible_shares(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="split: val="):
        assign_splits([Record("a", "0", "")], [False], SplitConfig(**shares))


def test_no_records() -> None:
    assert assign_splits([], [], SplitConfig()) == []
