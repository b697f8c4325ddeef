"""What the check finds in planted sentences, kind by kind, and what it leaves alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identifying import HARD, plain, planted

from data_tools.deid import KINDS, find_hits
from data_tools.deid.find import find_field_hits, masked

LEAST_RECALL = {"name": 0.9}  # names stand in more ways than any rule tells
LEAST, LEAST_PRECISION = 0.95, 0.95
HARD_RECALL = 0.75


def test_planted_sentences_are_found_and_plain_ones_are_not() -> None:
    rows, found, told, wrong = planted(), Counter[str](), Counter[str](), Counter[str]()
    assert len(rows) >= 200 and len(plain()) >= 200
    for kind, sentence, value in rows:
        told[kind] += 1
        for hit in find_hits(sentence):
            place = sentence.index(value)
            if hit.kind == kind and hit.start < place + len(value) and place < hit.end:
                found[kind] += 1
            else:
                wrong[hit.kind] += 1
                print("wrong", hit.kind, sentence, "|", sentence[hit.start : hit.end])
        if not any(hit.kind == kind for hit in find_hits(sentence)):
            print("missed", kind, sentence)
    for sentence in plain():
        for hit in find_hits(sentence):
            wrong[hit.kind] += 1
            print("wrong", hit.kind, sentence, "|", sentence[hit.start : hit.end])
    print(f"{len(rows)} planted, {len(plain())} plain")
    for kind in told:
        recall, precision = found[kind] / told[kind], found[kind] / max(found[kind] + wrong[kind], 1)
        print(f"{kind:14} n={told[kind]:3} recall {recall:.3f} precision {precision:.3f}")
        assert recall >= LEAST_RECALL.get(kind, LEAST), kind
        assert precision >= LEAST_PRECISION, kind


@pytest.mark.parametrize(
    "text",
    [
        "Seen by Dermatology, referred by Pathology.",
        "Signed by Dermatology Department.",
        "Patient: Fitzpatrick Type III",
        "Name: Seborrheic keratosis",
        "Surgeon: Mohs surgeon, two stages",
        "Mercedes Benz sign; Martin Scale; Jordan Hospital",
    ],
)
def test_departments_diagnoses_and_signs_are_no_names(text: str) -> None:
    assert find_hits(text) == []


def test_a_field_tells_about_values_and_not_about_prose() -> None:
    assert [hit.kind for hit in find_field_hits("patient", "Quill")] == ["name"]
    assert find_field_hits("patient", "Recently a rash has come up on both of my arms.") == []
    assert find_field_hits("size", "95") == find_field_hits("", "95") == []
    assert [(hit.kind, hit.start) for hit in find_field_hits("a@b", "@example.com, 2021-03-14")][-1] == (
        "date",
        14,
    )


def test_hits_lie_apart_and_in_order() -> None:
    text = "Dr. Jane Roe, MRN 00482913, 12 Maple Street, jane.roe@example.com, +1 617 555 0134, 03/14/2021"
    hits = find_hits(text)
    assert [hit.kind for hit in hits] == ["name", "record number", "address", "e-mail", "phone", "date"]
    assert all(a.end <= b.start for a, b in pairwise(hits))


@given(st.text(max_size=200))
def test_any_text_can_be_checked(text: str) -> None:
    for hit in find_hits(text):
        assert hit.kind in KINDS and 0 <= hit.start < hit.end <= len(text)


@pytest.mark.parametrize("text", ["a" * 2000, "1" * 2000, "1 " * 1000, "A. " * 700, "中" * 2000, "Jo-" * 700])
def test_long_texts_take_no_longer_than_they_should(text: str) -> None:
    find_hits(text)  # a pattern that tries all ways would never end


def test_masking_keeps_the_shape_alone() -> None:
    assert masked("Jane Roe, +1 617") == "**** ***, +* ***"


def test_much_of_what_is_written_in_other_ways_is_found_as_well() -> None:
    """How far the rules reach beyond the sentences that they were written with."""
    found = 0
    for kind, sentence, value in HARD:
        place = sentence.index(value)
        hits = [hit for hit in find_hits(sentence) if hit.start < place + len(value) and place < hit.end]
        found += bool(hits)
        print("found" if hits else "MISSED", kind, sentence, [hit.kind for hit in hits])
    print(f"recall {found / len(HARD):.2f} of {len(HARD)}")
    assert found / len(HARD) > HARD_RECALL
