"""Several folders of shards in one: nothing lost, nothing doubled, no lesion on two sides."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_shards import jpeg, write_tiny

from data_tools.shards.choose import settle_conflicts, shares, thin
from data_tools.shards.mix import Wanted, mix
from data_tools.shards.origin import Entry, Origin, Stored
from data_tools.shards.repack import Edit, Selection
from data_tools.shards.reshard import reshard
from data_tools.shards.verify import verify
from mmfm.data.index import SPLITS, Split
from mmfm.data.manifest import Manifest
from mmfm.errors import ConfigError, DataError
from mmfm.records import Note, Record

SIZES = st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 4))


def record(dataset: str, name: str, **facts: Any) -> Record:
    return Record(dataset, name, "drawn", **facts)


def some(dataset: str, sizes: tuple[int, int, int], **facts: Any) -> dict[str, list[Record]]:
    """Records by split, as many as `sizes` says, with classes in turn."""
    return {
        split: [record(dataset, f"{split}{i}", label=i % 8, **facts) for i in range(n)]
        for split, n in zip(SPLITS, sizes, strict=True)
    }


def records_of(folder: Path) -> dict[str, list[Record]]:
    return {
        name: [Split.open(folder, name).read_record(row) for row in range(info.samples)]
        for name, info in Manifest.read(folder).splits.items()
        if info.samples
    }


def keys_of(folder: Path, split: str = "train") -> list[str]:
    return [found.key for found in records_of(folder).get(split, [])]


def mixed(tmp_path: Path, folders: list[Any], **wanted: Any) -> Manifest:
    return mix([str(folder) for folder in folders], tmp_path / "new", Wanted(**wanted), 3, workers=1)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(SIZES, min_size=1, max_size=3).filter(lambda sizes: any(map(any, sizes))))
def test_nothing_is_lost_or_doubled(
    sizes: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("any")
    folders = [
        write_tiny(base / f"f{number}", some(f"set{number}", of_folder))
        for number, of_folder in enumerate(sizes)
    ]
    filled = [folder for folder, of_folder in zip(folders, sizes, strict=True) if any(of_folder)]
    manifest = mixed(base, filled)
    expected = {split: Counter[str]() for split in SPLITS}
    for folder in filled:
        for split, records in records_of(folder).items():
            expected[split].update(found.key for found in records)
    assert {split: Counter(keys_of(base / "new", split)) for split in SPLITS} == expected
    assert sum(source["records"] for source in manifest.sources) == sum(map(sum, sizes))
    assert verify(base / "new", workers=1) == []


def test_images_and_records_are_copied(tmp_path: Path) -> None:
    note = Note("M", "A mole.", {"backend": "template"})
    folders = [
        write_tiny(tmp_path / name, {"train": [record(name, "1", notes={"M": note})]}) for name in ("a", "b")
    ]
    mixed(tmp_path, folders)
    split = Split.open(tmp_path / "new", "train")
    for row, key in enumerate(split.keys):
        old = Split.open(tmp_path / str(key)[0], "train")
        assert split.read_image(row) == old.read_image(0)
        assert split.read_record(row) == old.read_record(0)


def test_equal_keys_stop_and_are_named(tmp_path: Path) -> None:
    folders = [write_tiny(tmp_path / name, some("set", (2, 0, 0))) for name in ("a", "b")]
    with pytest.raises(DataError, match=r"2 keys are in two folders: set-train\d \(a, b\).*--on-clash"):
        mixed(tmp_path, folders)
    assert not (tmp_path / "new").exists()


def test_of_equal_keys_the_first_is_kept(tmp_path: Path) -> None:
    folders = [
        write_tiny(tmp_path / "a", some("set", (2, 0, 0))),
        write_tiny(tmp_path / "b", some("set", (3, 0, 1))),
    ]
    manifest = mixed(tmp_path, folders, on_clash="first")
    assert manifest.splits["train"].samples == 3
    assert [origin["taken"] for origin in manifest.origins] == [2, 2]
    assert manifest.origins[1]["left_out"] == {"same key": 2}


def test_other_samples_under_the_same_name_are_renamed(tmp_path: Path) -> None:
    first = record("set", "1", lesion_id="1", label=2)
    second = record("set", "1", lesion_id="1", label=6)
    write_tiny(tmp_path / "a", {"train": [first]})
    write_tiny(tmp_path / "b.c", {"test": [second]}, images={"set-1": jpeg(1)})
    manifest = mixed(tmp_path, [tmp_path / "a", tmp_path / "b.c"], on_clash="prefix")
    assert keys_of(tmp_path / "new") == ["set-1"]
    (renamed,) = records_of(tmp_path / "new")["test"]
    assert (renamed.key, renamed.dataset, renamed.lesion_id) == ("b_c_set-1", "b_c_set", "1")
    assert {source["dataset"]: source["records"] for source in manifest.sources} == {"set": 1, "b_c_set": 1}
    assert manifest.splits["test"].by_dataset["b_c_set"]["drawn"].labels == {"MEL": 1}
    assert verify(tmp_path / "new", workers=1) == []


def test_lesions_are_known_under_the_new_names_as_well(tmp_path: Path) -> None:
    shared = {"lesion_id": "IL_0000001"}
    write_tiny(tmp_path / "a", {"train": [record("set", "1"), record("set", "2", **shared)]})
    write_tiny(tmp_path / "b", {"test": [record("set", "1", **shared)]}, images={"set-1": jpeg(1)})
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(DataError, match="lesion IL_0000001: set-2 is train in a"):
        mixed(tmp_path, folders, on_clash="prefix")
    mixed(tmp_path, folders, on_clash="prefix", drop_conflicts=True)
    assert keys_of(tmp_path / "new") == ["set-1"]
    assert keys_of(tmp_path / "new", "test") == ["b_set-1"]


def test_data_sets_that_count_their_lesions_from_1_share_none(tmp_path: Path) -> None:
    write_tiny(tmp_path / "a", {"train": [record("x", "1", lesion_id="1", patient_id="1")]})
    write_tiny(tmp_path / "b", {"test": [record("y", "1", lesion_id="1", patient_id="1")]})
    mixed(tmp_path, [tmp_path / "a", tmp_path / "b"])
    assert verify(tmp_path / "new", workers=1) == []
    write_tiny(tmp_path / "c", {"test": [record("x", "2", lesion_id="1")]})
    with pytest.raises(DataError, match="lesion 1 of x: x-1 is train in a, x-2 is test in c"):
        mix([str(tmp_path / name) for name in "ac"], tmp_path / "other", Wanted(), 3, workers=1)


def test_damaged_samples_can_be_left_out(tmp_path: Path) -> None:
    old = write_tiny(tmp_path / "a", some("x", (5, 0, 2)))
    split = Split.open(old, "train")
    split.shard_paths[0].chmod(0o644)
    with split.shard_paths[0].open("r+b") as tar:
        for offset in (split.json_offset[0], split.image_offset[1]):
            tar.seek(int(offset))
            tar.write(b"?")
    with pytest.raises(DataError, match=rf"x-train\d is altered.*{old}, or leave out .*--drop-damaged"):
        mixed(tmp_path, [old])
    manifest = mixed(tmp_path, [old], drop_damaged=True)
    assert sorted(keys_of(tmp_path / "new")) == sorted(str(key) for key in split.keys[2:])
    (origin,) = manifest.origins
    assert (origin["samples"], origin["taken"], origin["left_out"]) == (7, 5, {"damaged": 2})
    assert verify(tmp_path / "new", decode=True, workers=1) == []
    resharded = reshard(old, tmp_path / "again", 3, workers=1, drop_damaged=True)
    assert resharded.origins[0]["left_out"] == {"damaged": 2}


def test_the_same_picture_is_not_doubled_under_a_new_name(tmp_path: Path) -> None:
    folders = [write_tiny(tmp_path / name, some("set", (1, 0, 0))) for name in ("a", "b")]
    with pytest.raises(DataError, match="they are the same pictures"):
        mixed(tmp_path, folders, on_clash="prefix")


def test_the_same_picture_under_another_key_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {key: jpeg(5) for key in ("x-1", "x-2", "y-1")} | {"x-3": jpeg(6), "x-4": jpeg(6)}
    write_tiny(tmp_path / "a", {"train": [record("x", str(i)) for i in range(1, 5)]}, images=images)
    write_tiny(tmp_path / "b", {"train": [record("y", "1")]}, images=images)
    mixed(tmp_path, [tmp_path / "a", tmp_path / "b"])
    assert len(keys_of(tmp_path / "new")) == 5
    assert "\n1 pictures are in several folders" in "\n" + capsys.readouterr().err


@pytest.mark.parametrize(
    ("facts", "what"),
    [({"lesion_id": "L7"}, "lesion L7"), ({"patient_id": "P7"}, "patient P7"), ({}, "one picture")],
)
def test_a_lesion_on_two_sides_is_an_error_that_lists_it(
    tmp_path: Path, facts: dict[str, str], what: str
) -> None:
    images = {} if facts else {"x-1": jpeg(5), "y-1": jpeg(5)}
    write_tiny(tmp_path / "a", {"train": [record("x", "1", **facts), record("x", "2")]}, images=images)
    write_tiny(tmp_path / "b", {"test": [record("y", "1", **facts)]}, images=images)
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(
        DataError, match=rf"{what}: x-1 is train in a, y-1 is test in b[\s\S]*--drop-conflicts"
    ):
        mixed(tmp_path, folders)
    manifest = mixed(tmp_path, folders, drop_conflicts=True)
    assert keys_of(tmp_path / "new") == ["x-2"]
    assert keys_of(tmp_path / "new", "test") == ["y-1"]
    assert manifest.origins[0]["left_out"] == {"conflict": 1}


def test_filters_keep_what_has_one_of_the_values(tmp_path: Path) -> None:
    records = [
        record("x", str(i), label=i, sex=sex) for i, sex in enumerate(("female", "male", "", "female"))
    ]
    write_tiny(tmp_path / "a", {"train": records})
    mixed(
        tmp_path,
        [tmp_path / "a"],
        where={"label": ["bek", "NEV", "vascular lesion"], "sex": ["female", "unknown"]},
    )
    assert sorted(keys_of(tmp_path / "new")) == ["x-0", "x-2", "x-3"]


def test_a_value_that_no_sample_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [record("x", str(i), sex=sex) for i, sex in enumerate(("female", "male"))]
    write_tiny(tmp_path / "a", {"train": records})
    mixed(tmp_path, [tmp_path / "a"], where={"sex": ["female", "mael"]})
    assert keys_of(tmp_path / "new") == ["x-0"]
    assert "no sample has sex=mael" in capsys.readouterr().err


def test_notes_that_are_not_wanted_are_left_behind(tmp_path: Path) -> None:
    notes = {name: Note(name, f"Note {name}.") for name in ("M", "L1")}
    line = {"key": "x-1", "text": "A lie.", "reasons": ["class"]}
    refused = [{**line, "note": "M"}, {**line, "note": "L1"}]
    write_tiny(tmp_path / "a", {"train": [record("x", "1", notes=notes)]}, refused=refused)
    manifest = mixed(tmp_path, [tmp_path / "a"], notes=("L1",))
    assert manifest.notes == ["L1"]
    assert list(records_of(tmp_path / "new")["train"][0].notes) == ["L1"]
    assert (tmp_path / "new" / "refused_notes.jsonl").read_text().count("\n") == 1
    assert verify(tmp_path / "new", workers=1) == []


def test_shares_thin_out_training_alone(tmp_path: Path) -> None:
    write_tiny(tmp_path / "a", some("x", (30, 4, 9)))
    write_tiny(tmp_path / "b", some("y", (8, 4, 2)))
    weights = {"a": Fraction(2), "b": Fraction(1)}
    manifest = mixed(tmp_path, [tmp_path / "a", tmp_path / "b"], weights=weights)
    assert [origin["taken"] for origin in manifest.origins] == [16 + 13, 8 + 6]
    assert manifest.splits["test"].samples == 11


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"where": {"colour": ["red"]}}, "cannot be chosen by 'colour': one of label"),
        ({"where": {"label": ["XYZ"]}}, "unknown class 'XYZ': one of BEK"),
        ({"where": {"label": ["MEL"]}}, r"no sample has label=MEL\. There are: BEK$"),
        ({"where": {"sex": ["other"]}}, "no sample has sex=other. There are: unknown"),
        ({"thinned": ("trian",), "take": {"a": 0}}, "no split 'trian': one of train, val, test"),
        ({"notes": ("Q",)}, "no folder has notes 'Q'. There are: none"),
        ({"weights": {"c": Fraction(1)}}, "no folder 'c': a, b"),
        ({"weights": {"a": Fraction(1)}}, "no weight for b"),
        ({"take": {"c": 4}}, "no folder 'c': a, b"),
        ({"weights": {"a": Fraction(1)}, "take": {"a": 1}}, "not both"),
    ],
)
def test_wishes_that_cannot_be(tmp_path: Path, wanted: dict[str, Any], message: str) -> None:
    folders = [write_tiny(tmp_path / name, some(name, (1, 0, 0))) for name in ("a", "b")]
    with pytest.raises((ConfigError, DataError), match=message):
        mixed(tmp_path, folders, **wanted)
    assert not (tmp_path / "new").exists()


def test_folders_of_one_name_need_others(tmp_path: Path) -> None:
    folders = [write_tiny(tmp_path / name / "shards", some(name, (2, 0, 0))) for name in ("a", "b")]
    with pytest.raises(ConfigError, match="two folders are called 'shards'"):
        mixed(tmp_path, folders)
    manifest = mixed(tmp_path, [f"a={folders[0]}", f"b={folders[1]}"], take={"b": 1})
    assert [(origin["name"], origin["taken"]) for origin in manifest.origins] == [("a", 2), ("b", 1)]


# What is chosen, on entries alone.

ENTRIES = st.lists(
    st.tuples(
        st.integers(0, 2),  # folder
        st.sampled_from(SPLITS),
        st.sampled_from(["", "L1", "L2", "L3"]),
        st.sampled_from(["", "P1", "P2"]),
        st.integers(0, 40),  # picture
    ),
    max_size=24,
)


def selection_of(rows: list[tuple[int, str, str, str, int]]) -> Selection:
    origins = [Origin(name, Path(name), Manifest(), "") for name in "abc"]
    entries = [
        Entry(
            origin,
            split,
            record("x", str(number), lesion_id=lesion, patient_id=patient),
            Stored(f"x-{number}", "", (0, 9, picture), (0, 9, 9)),
        )
        for number, (origin, split, lesion, patient, picture) in enumerate(rows)
    ]
    return Selection(origins, entries, [Edit()] * 3)


@given(rows=ENTRIES)
def test_after_conflicts_are_dropped_nothing_is_on_two_sides(
    rows: list[tuple[int, str, str, str, int]],
) -> None:
    selection = selection_of(rows)
    before = list(selection.entries)
    settle_conflicts(selection, drop=True)
    for entry in selection.entries:
        for other in selection.entries:
            one, two = entry.record, other.record
            same_lesion = one.lesion_id and one.lesion_id == two.lesion_id
            same_patient = one.patient_id and one.patient_id == two.patient_id
            if same_lesion or same_patient or entry.picture == other.picture:
                assert entry.split == other.split
    dropped = [entry for entry in before if entry not in selection.entries]
    assert all(entry.split != "test" for entry in dropped)
    if not dropped:
        settle_conflicts(selection_of(rows), drop=False)  # raises where anything would be dropped
    else:
        with pytest.raises(DataError, match="two sides"):
            settle_conflicts(selection_of(rows), drop=False)


@given(
    rows=ENTRIES,
    take=st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)),
    seed=st.integers(0, 5),
)
def test_fewer_samples_are_part_of_more(
    rows: list[tuple[int, str, str, str, int]], take: dict[str, int], seed: int
) -> None:
    def chosen(more: int) -> set[str]:
        selection = selection_of(rows)
        thin(selection, ["train"], {}, {name: n + more for name, n in take.items()}, seed)
        return {entry.stored.key for entry in selection.entries}

    assert chosen(0) <= chosen(1)
    there = Counter((row[0], row[1]) for row in rows)
    kept = Counter((rows[int(key[2:])][0], rows[int(key[2:])][1]) for key in chosen(0))
    for (origin, split), n in there.items():
        most = take.get("abc"[origin], n) if split == "train" else n
        assert kept[origin, split] == min(n, most)


@given(
    there=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 500), min_size=1),
    weights=st.fixed_dictionaries({name: st.fractions(Fraction(1, 20), 20) for name in "abcd"}),
)
def test_shares_are_in_proportion_and_as_large_as_can_be(
    there: dict[str, int], weights: dict[str, Fraction]
) -> None:
    taken = shares(there, weights)
    filled = [name for name, n in there.items() if n]
    assert all(taken[name] == 0 for name in there.keys() - filled)
    assert all(1 <= taken[name] <= there[name] for name in filled)
    if filled:
        scale = min(there[name] / weights[name] for name in filled)
        assert any(taken[name] == there[name] for name in filled)
        assert all(taken[name] == max(1, int(scale * weights[name])) for name in filled)
