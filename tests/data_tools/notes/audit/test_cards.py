"""Score cards: counts by subgroup, with intervals."""

from __future__ import annotations

import json

import pytest

from data_tools.config import AuditConfig
from data_tools.notes.audit import Audit, Finding
from data_tools.notes.audit.cards import ScoreCard, Share, score_cards, subgroup
from mmfm.records import Note, Record


def record(number: int, **fields: object) -> Record:
    known = {"label": 6, "sex": "female", "age": 45.0, "site": "nose", **fields}
    return Record("d", str(number), "clinical", **known)  # type: ignore[arg-type]


@pytest.fixture
def cards() -> list[ScoreCard]:
    lie = Audit([Finding("class", "x"), Finding("age", "y")], {"recall": 0.5, "precision": 0.0, "words": 4})
    good = Audit([], {"recall": 1.0, "precision": 1.0, "words": 6, "near_duplicates": 1})
    bare = Audit([], {"words": 2})  # nothing was given, and nothing is stated
    pairs = [
        (record(0), Note("L1-small", "a b c d", {"model": "tiny"})),
        (record(1, sex="male", age=80.0), Note("L1-small", "a b c d e f", {"model": "tiny"})),
        (record(2, sex="", age=None, site=""), Note("L1-small", "a b", {"model": "tiny"})),
        (record(3), Note("M", "a b c", {"backend": "template"})),
    ]
    return score_cards(pairs, [lie, good, bare, good], AuditConfig())


def test_a_card_for_each_name(cards: list[ScoreCard]) -> None:
    assert [(card.name, card.strategy, card.writer) for card in cards] == [
        ("L1-small", "L1", "small"),
        ("M", "M", ""),
    ]
    assert [card.models for card in cards] == [{"tiny": 3}, {"template": 1}]


def test_means_are_over_notes_that_have_the_score(cards: list[ScoreCard]) -> None:
    group = cards[0].all
    assert (group.notes, group.recall, group.precision, group.words) == (3, 0.75, 0.5, 4)
    assert group.reasons == {"class": 1, "age": 1}
    assert (group.refused.count, group.refused.total) == (1, 3)
    assert {kind: share.count for kind, share in group.findings.items()} == {"class": 1, "age": 1}
    assert group.near_duplicates.count == 1
    assert group.self_similarity == pytest.approx((4 / 6 + 2 / 4 + 2 / 6) / 3)
    assert group.distinct_2 == pytest.approx(5 / 9)  # of the nine pairs of words


def test_groups_hold_each_note_once(cards: list[ScoreCard]) -> None:
    groups = cards[0].groups
    for by in ("class", "dataset", "sex", "age", "skin_tone", "site"):
        assert sum(group.notes for group in groups if group.by == by) == 3
    assert [group.value for group in groups if group.by == "sex"] == ["female", "male", "unknown"]
    assert [group.value for group in groups if group.by == "age"] == ["40-59", "80+", "unknown"]
    assert [group.value for group in groups if group.by == "site"] == ["head and neck", "unknown"]


def test_cards_survive_json(cards: list[ScoreCard]) -> None:
    assert [ScoreCard.from_json(json.loads(json.dumps(card.to_json()))) for card in cards] == cards


def test_a_share_comes_with_its_wilson_interval() -> None:
    share = Share.of(0, 20)
    assert (share.value, share.low) == (0, 0) and share.high == pytest.approx(0.1611, abs=1e-4)


def test_subgroups_of_a_record_without_a_class() -> None:
    assert subgroup(record(0, label=-1), "class") == "unknown"
    assert subgroup(record(0, site="elsewhere"), "site") == "elsewhere"
