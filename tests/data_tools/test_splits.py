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
    ids = st.one_of(st.just(""), st.integers(0, count // 2).map("L{}".format))
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


def published(dataset: str, image: str, split: str, **groups: str) -> Record:
    return Record(dataset, image, "", label=0, extras={"split": split} if split else {}, **groups)


KEPT = SplitConfig(published=True)


@given(cases(), st.data())
@settings(max_examples=100, deadline=None)
def test_published_splits_never_part_a_group(case: Case, data: st.DataObject) -> None:
    records, held, pairs = case
    names = st.sampled_from(("", "train", "val", "test", "val+test"))
    for record in records:
        if split := data.draw(names):
            record.extras["split"] = split
    splits = assign_splits(records, held, KEPT, pairs)
    sides = defaultdict(set)
    for group, split in zip(group_records(records, pairs), splits, strict=True):
        sides[group].add(split)
    assert all(len(side - {""}) <= 1 for side in sides.values())
    heldout = {split for split, out in zip(splits, held, strict=True) if out}
    assert heldout <= {"test", ""}


def test_a_published_split_is_kept_and_others_are_dealt(capsys: pytest.CaptureFixture[str]) -> None:
    given_names = [*(["train"] * 5), *(["val"] * 3), *(["test"] * 4), ""]
    records = [published("one", str(i), name) for i, name in enumerate(given_names)]
    free = [Record("two", str(i), "", label=0) for i in range(10)]
    splits = assign_splits([*records, *free], [False] * 23, KEPT)
    assert splits[:13] == given_names  # what the publishers left out stays out
    assert Counter(splits[13:]) == {"train": 7, "val": 1, "test": 2}
    assert not capsys.readouterr().err
    assert assign_splits(records, [False] * 13, SplitConfig()) != given_names  # only on request


def test_a_lesion_on_two_published_sides_goes_to_one_and_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        published("one", "0", "train", lesion_id="L"),
        published("one", "1", "test", lesion_id="L"),
        published("one", "2", "train", patient_id="P"),
        published("one", "3", "val", patient_id="P"),
        published("one", "4", "", patient_id="P"),
        published("one", "5", "train"),
    ]
    assert assign_splits(records, [False] * 6, KEPT) == ["test", "test", "val", "val", "val", "train"]
    assert "2 groups of one lesion, patient or picture stand on two sides" in capsys.readouterr().err


def test_a_published_split_that_overlaps_is_dealt_anew(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["train"] * 14 + ["val"] * 2 + ["val+test"] * 4
    records = [published("seven", str(i), name) for i, name in enumerate(names)]
    splits = assign_splits(records, [False] * 20, KEPT)
    assert splits == assign_splits(records, [False] * 20, SplitConfig())
    assert (
        "seven: the published split has 4 records in both val and test: it is split anew"
        in capsys.readouterr().err
    )


def test_a_published_name_that_is_no_split() -> None:
    with pytest.raises(ConfigError, match="one-0: published split 'dev' is not one of train, val, test"):
        assign_splits([published("one", "0", "dev")], [False], KEPT)


def test_bare_numbers_join_records_of_one_data_set_alone() -> None:
    def grouped(*named: tuple[str, str]) -> list[int]:
        records = [Record(dataset, str(n), "", lesion_id=value) for n, (dataset, value) in enumerate(named)]
        return group_records(records).tolist()

    assert grouped(("a", "12"), ("b", "12"), ("a", "12")) == [0, 1, 0]
    assert grouped(("a", "2019-04"), ("b", "2019-04")) == [0, 1]
    assert grouped(("a", "IL_12"), ("b", "IL_12")) == [0, 0]
    lesion, patient = Record("a", "0", "", lesion_id="P1"), Record("a", "1", "", patient_id="P1")
    assert group_records([lesion, patient]).tolist() == [0, 1]
