"""Patches: what they meet, what they set, and what is no patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_tools.config import SourceConfig
from data_tools.patches import BUILTIN, apply_patches, load_patches, told_patches
from data_tools.sources import read_source
from data_tools.sources.base import SourceResult
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES, UNKNOWN_LABEL, label_of, subclass_of

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(**changes)`: a file with one patch, and its path."""

    def write(**changes: Any) -> str:
        patch = {
            "name": "mend", "dataset": "PAD_UFES_20", "match": {"native_class": "mo*"},
            "set": {"label": "NEV", "malignancy": "unknown"}, "reason": "a mole\nis a nevus", **changes,
        }  # fmt: skip
        patch = {key: value for key, value in patch.items() if value is not None}
        path = tmp_path / "patches.yaml"
        path.write_text(yaml.safe_dump({"version": 3, "patches": [patch]}))
        return str(path)

    return write


def record(**changes: Any) -> Record:
    given = {
        "dataset": "pad_ufes20",
        "image_id": "a",
        "domain": "",
        "label": label_of("MEL"),
        "native_class": "mole",
    }
    return Record(**{**given, "malignancy": "malignant", **changes})


def test_a_patch_sets_what_it_says_and_is_named_in_the_record(write: Write) -> None:
    (patch,) = load_patches([write()])
    assert (patch.version, patch.reason) == (3, "a mole is a nevus")
    met, other, elsewhere = record(), record(native_class="freckle"), record(dataset="ham10000")
    assert apply_patches([met, other, elsewhere], [patch]) == {"mend": {met.dataset: 1}}
    assert (CODES[met.label], met.malignancy, met.extras) == ("NEV", "", {"patched": ["mend"]})
    assert apply_patches([other], [patch]) == {"mend": {}}  # a mistake in it?
    assert apply_patches([elsewhere], [patch]) == {}
    assert other == record(native_class="freckle") and elsewhere == record(dataset="ham10000")


def test_one_line_tells_what_a_patch_met_in_all_sources(write: Write) -> None:
    patches = load_patches([write()])

    def met(whole: bool = True, **rows: int) -> SourceResult:
        return SourceResult(patched={"mend": Counter(rows)}, whole=whole)

    told = list(told_patches([met(pad=2), SourceResult(), met(pad=1, ham=4)], patches))
    assert told == ["patch mend (version 3): 7 rows (pad 3, ham 4)"]
    assert list(told_patches([met(), met(whole=False)], patches)) == ["patch mend (version 3): no rows"]
    assert list(told_patches([met(whole=False), SourceResult()], patches)) == []


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"match": None, "ids": ["b", "a"]}, True),
        ({"match": None, "ids": ["aa"]}, False),
        ({"ids": ["b"]}, False),  # both must fit
        ({"match": {"label": "MEL", "image_id": "a"}}, True),
        ({"match": {"label": "NEV"}}, False),
        ({"match": {"reference_label": "ACK"}}, True),
        ({"dataset": "any"}, True),
        ({"dataset": ["ham10000", "pad-ufes-20"]}, True),
        ({"dataset": ["ham10000"]}, False),
    ],
)
def test_what_a_patch_meets(write: Write, changes: dict[str, Any], met: bool) -> None:
    item = record(extras={"reference_label": "ACK"})
    apply_patches([item], load_patches([write(**changes)]))
    assert ("patched" in item.extras) == met


def test_values_of_a_patch(write: Write) -> None:
    path = write(set={"label": "unlabelled", "matched_subclass": "SCC in situ", "description": "unknown"})
    item = record(description="words")
    apply_patches([item], load_patches([path]))
    assert (item.label, item.matched_subclass, item.description) == (UNKNOWN_LABEL, "Bowen disease", "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"set": {"label": "WART"}}, "label 'WART' is not one of BEK"),
        ({"set": {"malignancy": "bad"}}, "malignancy 'bad' is not one of benign"),
        ({"set": {"matched_subclass": "wart"}}, "'wart' is no subclass"),
        ({"set": {"age": "3"}}, "set.age is not read"),
        ({"match": {"colour": "red"}}, "match.colour is not read"),
        ({"match": None}, "lacks match or ids"),
        ({"reason": None}, "mend: lacks reason"),
        ({"why": "so"}, "why is not read"),
        ({"ids": "ISIC_1"}, "ids must be a list"),  # not one id for each letter
        ({"match": ["mole"]}, "match must be a mapping"),
        ({"reason": 3}, "reason must be text"),
    ],
)
def test_what_is_no_patch(write: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_patches([write(**changes)])


def test_files_that_are_none(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such\.yaml not found; `builtin`"):
        load_patches([str(tmp_path / "no such.yaml")])
    with pytest.raises(ConfigError, match="mend: more than one patch of this name"):
        load_patches([write(), write()])
    for text in ("- a", "version: x", "version: 1\npatches: {}", "a: [", "version: 1\npatches: [a]"):
        (tmp_path / "odd.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"odd\.yaml"):
            load_patches([str(tmp_path / "odd.yaml")])


def test_the_built_in_file_agrees_with_the_taxonomy_and_tells_its_reasons() -> None:
    patches = load_patches([BUILTIN])
    assert len(patches) >= 11
    for patch in patches:
        assert len(patch.reason) > 20 and set(patch.expected) == set(patch.datasets), patch.name
        named = subclass_of(patch.values.get("matched_subclass", ""))
        assert named is None or "label" not in patch.values or named.label == patch.values["label"], (
            patch.name
        )


def test_patches_reach_every_kind_of_source(tmp_path: Path, write: Write) -> None:
    (tmp_path / "mole.jpg").write_bytes(b"x")
    cfg = SourceConfig(kind="folder", dataset="pad_ufes20", domain="smartphone")
    result = read_source(cfg, tmp_path, load_patches([write(match={"image_id": "mole"})]))
    (found,) = result.records
    assert CODES[found.record.label] == "NEV"
    assert result.patched == {"mend": {"pad_ufes20": 1}}
