"""The reference system's tables: ids compared whole, splits, labels against words; and the real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_tools.config import ShardsConfig, SourceConfig, SplitConfig
from data_tools.patches import load_patches
from data_tools.sources import SourceResult, read_source
from data_tools.sources.base import BadRowError
from data_tools.sources.diagnosis import diagnosis_of
from data_tools.sources.reference import DATASETS
from data_tools.splits import assign_splits, overlaps, published_splits
from mmfm.config import load
from mmfm.errors import DataError
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, CODES, MALIGNANT, UNKNOWN_LABEL, subclass_of

ROOT = Path(__file__).parents[3]
MAPPING = """\
a11,5,malignant,basal cell carcinoma,basal cell carcinoma- nodular,-,basal cell cancer,basal cell carcinoma
a1,2,benign,nevus,nevus- nos- compound,0,melanocytic / benign nevus,benign melanocytic nevus
b.2,4,malignant,kaposi sarcoma,kaposi sarcoma,growth-\xa0deep - ,vascular lesion,vascular lesions
"""
LABELS = "a1.jpg,2\na11.png,5\nb.2.jpg,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("classes_subclasses_metadata_mapping", MAPPING), ("labels", LABELS)):
        (tmp_path / "some").mkdir(exist_ok=True)
        (tmp_path / "some" / f"{name}.csv").write_text(text, encoding="utf-8")
    for name in ("a1.jpg", "a11.jpg", "b.2.jpg"):
        (tmp_path / "some" / name).write_bytes(b"x")
    return tmp_path / "some"


def read(folder: Path, **changes: object) -> SourceResult:
    return read_source(
        SourceConfig(kind="reference", root="some", domain="clinical", **changes), folder.parent
    )  # type: ignore[arg-type]


def test_rows_belong_together_by_their_whole_id(folder: Path) -> None:
    (folder / "labels_test.csv").write_text("a1.jpg,2\n")
    nodular, compound, kaposi = (item for item in read(folder).records)
    assert [item.image.name for item in (nodular, compound, kaposi)] == ["a11.jpg", "a1.jpg", "b.2.jpg"]
    assert nodular.record.image_id == "a11" and "split" not in nodular.record.extras
    assert compound.record.image_id == "a1" and compound.record.extras["split"] == "test"
    assert (CODES[compound.record.label], compound.record.native_class) == ("NEV", "nevus")
    assert (compound.record.subclass, compound.record.matched_subclass) == (
        "compound nevus",
        "benign melanocytic nevus",
    )
    assert compound.record.description == ""  # "0" is an empty cell
    assert kaposi.record.image_id == "b.2" and kaposi.record.description == "growth, deep"
    assert nodular.record.dataset == "some"


def test_a_label_that_contradicts_its_class_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kaposi = read(folder).records[2].record
    assert (CODES[kaposi.label], kaposi.malignancy, kaposi.extras["reference_label"]) == (
        "VASC",
        "malignant",
        "ACK",
    )
    assert "some: 1 rows have label ACK and a class that means VASC; VASC counts" in capsys.readouterr().err


def test_parts_of_the_split_that_overlap_are_kept_as_such(folder: Path) -> None:
    (folder / "labels_test.csv").write_text("a1.jpg,2\n")
    (folder / "labels_valid.csv").write_text("a1.jpg,2\na11.png,5\n")
    records = [item.record for item in read(folder).records]
    assert [record.extras.get("split") for record in records] == ["val", "val+test", None]
    assert published_splits(records[1]) == ("val", "test")
    assert overlaps(records) == {("some", "val and test"): 1}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("labels.csv", LABELS + "c.jpg,1\n", "1 ids are in one of .*'c'"),
        ("labels.csv", LABELS.replace("a11.png,5\n", ""), "1 ids are in one of .*'a11'"),
        ("labels.csv", LABELS + "a1.png,1\n", "1 ids twice"),
        ("labels.csv", "a1.jpg\n", "row 1: 1 columns where 2 are meant"),
        ("labels.csv", None, "labels.csv not found"),
    ],
)
def test_tables_that_do_not_fit(folder: Path, file: str, text: str | None, words: str) -> None:
    (folder / file).unlink() if text is None else (folder / file).write_text(text)
    with pytest.raises(DataError, match=words):
        read(folder)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("melanocytic / benign nevus", "moles", "unknown label 'moles'"),
        ("a1,2,benign", "a1,2,harmless", "unknown label 'harmless'"),
        ("a1,2,", "a1,3,", "label '3', and '2' in labels.csv"),
    ],
)
def test_rows_that_cannot_be_meant(folder: Path, old: str, new: str, reason: str) -> None:
    mapping = folder / "classes_subclasses_metadata_mapping.csv"
    mapping.write_text(MAPPING.replace(old, new))
    assert [reject.reason for reject in read(folder).rejects if reason in reject.reason]


# Section 3 of the facts on the reference system: images by class, and in train, valid and test.
COUNTS = {
    "bcn20000": (1138, 124, 4206, 111, 737, 2809, 2857, 559),
    "derm12345": (706, 180, 9952, 282, 74, 423, 400, 303),
    "derm7pt": (67, 20, 26, 25, 0, 38, 229, 0),
    "dermnet": (220, 58, 57, 0, 55, 190, 90, 35),
    "fluo_sc": (252, 0, 158, 0, 560, 496, 19, 78),
    "mra_midas": (308, 57, 793, 38, 193, 599, 235, 370),
    "ham10000": (1338, 160, 7737, 180, 149, 622, 1305, 229),
    "hiba": (88, 61, 602, 51, 63, 340, 253, 158),
    "msk": (566, 18, 2595, 67, 251, 741, 1311, 296),
    "milk10k_clinic": (544, 52, 746, 47, 303, 2522, 450, 473),
    "milk10k_dermo": (544, 52, 746, 47, 303, 2522, 450, 473),
    "pad_ufes20": (235, 0, 244, 0, 730, 845, 52, 192),
    "fitzpatrick17k": (30, 9, 39, 0, 5, 36, 115, 141),
    "sd198": (60, 18, 32, 3, 62, 13, 38, 0),
    "skinl2": (33, 14, 97, 0, 0, 40, 28, 0),
}
PARTS = {
    "bcn20000": (8774, 1850, 1917),
    "derm12345": (3782, 1108, 2218),
    "derm7pt": (281, 124, 79),
    "dermnet": (487, 78, 140),
    "fluo_sc": (1092, 161, 310),
    "mra_midas": (1812, 266, 515),
}
# What the built-in patches change of COUNTS: data set, from, to, rows.
MOVED = (
    ("derm12345", "ACK", "VASC", 16), ("derm12345", "BEK", "NEV", 25), ("msk", "SCC", "BCC", 4),
    ("msk", "NEV", "BEK", 6), ("milk10k_clinic", "ACK", "SCC", 180), ("milk10k_dermo", "ACK", "SCC", 180),
    ("sd198", "ACK", "SCC", 24), ("dermnet", "ACK", "SCC", 20), ("dermnet", "MEL", "", 16),
    ("dermnet", "BEK", "", 29), ("fitzpatrick17k", "BEK", "", 22), ("sd198", "BEK", "", 8),
)  # fmt: skip
Tables = dict[str, list[Record]]


@pytest.fixture(scope="module")
def results(real_data: Path) -> dict[str, SourceResult]:
    """The fifteen sets by name, without patches; of HAM10000 the images are there."""
    recipe = load(ShardsConfig, ROOT / "configs" / "data" / "reference.yaml")
    assert sorted(Path(source.root).name for source in recipe.sources) == sorted(DATASETS)
    found = {}
    for source in recipe.sources:
        dataset = DATASETS[Path(source.root).name][0]
        with_images = dataset == "ham10000"
        cfg = source if with_images else replace(source, images=".", allow_missing=True)
        found[dataset] = read_source(cfg, real_data)
        assert all(reject.missing_image for reject in found[dataset].rejects), dataset
    return found


@pytest.fixture(scope="module")
def as_published(results: dict[str, SourceResult]) -> Tables:
    return {name: result.known for name, result in results.items()}


@pytest.fixture(scope="module")
def patched(as_published: Tables, with_patches: Callable[[list[Record]], list[Record]]) -> Tables:
    return {name: with_patches(records) for name, records in as_published.items()}


def contradictions(records: list[Record]) -> list[Record]:
    """Records whose words say another class, subclass or malignancy than their label."""
    found = []
    for record in records:
        if record.label == UNKNOWN_LABEL:
            continue
        meant = {record.label}
        for words in (record.native_class, record.subclass):
            try:
                meant |= {diagnosis_of(words).label} if words else set()
            except BadRowError as reason:
                meant |= {UNKNOWN_LABEL} if "outside" in str(reason) else set()
        named = subclass_of(record.matched_subclass)
        meant |= {named.label} if named else set()
        usual = record.malignancy in ("", CLASSES[record.label].malignancy)
        heading = record.native_class.startswith("malignant, ") and record.malignancy != MALIGNANT
        if len(meant) > 1 or heading or not (usual or record.subclass == "Kaposi sarcoma"):
            found.append(record)
    return found


@pytest.mark.realdata
def test_real_tables_have_the_published_counts(as_published: Tables) -> None:
    assert {name: len(records) for name, records in as_published.items()} == {
        name: sum(counts) for name, counts in COUNTS.items()
    }
    for name, records in as_published.items():
        counts = Counter(record.extras["reference_label"] for record in records)
        assert tuple(counts[code] for code in CODES) == COUNTS[name], name
        parts = Counter(part for record in records for part in published_splits(record))
        assert tuple(parts[part] for part in ("train", "val", "test")) == PARTS.get(
            name, (0, 0, len(records))
        )
    assert sum(len(records) for records in as_published.values()) == 62_693


@pytest.mark.realdata
def test_real_labels_and_words_disagree_as_known(as_published: Tables) -> None:
    odd = {
        name: Counter((r.extras["reference_label"], CODES[r.label]) for r in records)
        for name, records in as_published.items()
    }
    differ = {
        name: sum(n for (label, matched), n in counts.items() if label != matched)
        for name, counts in odd.items()
    }
    assert {name: count for name, count in differ.items() if count} == {
        "fluo_sc": 78, "milk10k_clinic": 182, "milk10k_dermo": 182, "derm12345": 47, "msk": 4,
    }  # fmt: skip


@pytest.mark.realdata
def test_no_contradiction_is_left_after_the_patches(as_published: Tables, patched: Tables) -> None:
    before = {name: len(contradictions(records)) for name, records in as_published.items()}
    assert {name: count for name, count in before.items() if count} == {
        "fluo_sc": 78, "derm12345": 6, "milk10k_clinic": 2, "milk10k_dermo": 2, "msk": 4 + 6,
        "mra_midas": 176, "sd198": 24 + 8, "fitzpatrick17k": 22,
    }  # fmt: skip
    assert [record for records in patched.values() for record in contradictions(records)] == []
    re_excision = [r for r in patched["mra_midas"] if "possible re-excision" in r.native_class]
    assert len(re_excision) == 115 and {record.malignancy for record in re_excision} == {""}


@pytest.mark.realdata
def test_patches_meet_the_rows_that_they_expect(patched: Tables) -> None:
    met: Counter[tuple[str, str]] = Counter()
    for name, records in patched.items():
        met.update((patch, name) for record in records for patch in record.extras.get("patched", ()))
    wanted = {(p.name, name): n for p in load_patches(["builtin"]) for name, n in p.expected.items()}
    assert met == wanted
    counts = {name: dict(zip(CODES, numbers, strict=True)) | {"": 0} for name, numbers in COUNTS.items()}
    for name, old, new, rows in MOVED:
        counts[name][old] -= rows
        counts[name][new] += rows
    found = {
        name: Counter(CODES[r.label] if r.label != UNKNOWN_LABEL else "" for r in records)
        for name, records in patched.items()
    }
    assert found == {
        name: Counter({code: n for code, n in numbers.items() if n}) for name, numbers in counts.items()
    }


@pytest.mark.realdata
def test_derm7pt_is_split_anew(patched: Tables, capsys: pytest.CaptureFixture[str]) -> None:
    records = [*patched["derm7pt"], *patched["fluo_sc"]]
    splits = assign_splits(records, [False] * len(records), SplitConfig(published=True))
    assert "derm7pt: the published split has 79 records in both val and test" in capsys.readouterr().err
    sides = Counter(zip((record.dataset for record in records), splits, strict=True))
    assert [sides["fluo_sc", name] for name in ("train", "val", "test", "")] == [1092, 161, 310, 0]
    train, val, test = (sides["derm7pt", name] for name in ("train", "val", "test"))
    assert train + val + test == 405
    assert abs(test - 81) < 5 and abs(val - 40) < 5  # the shares that are asked for, by class


@pytest.mark.realdata
def test_the_recipe_reads_all_fifteen_with_the_images_that_are_there(
    results: dict[str, SourceResult],
) -> None:
    result = results["ham10000"]
    assert len(result.records) == 10_015 and len(result.known) == 11_720
    assert all(item.image.stem == item.record.image_id for item in result.records)
    assert len({item.record.lesion_id for item in result.records}) == 7_470
