"""What a record gives: known values only, each once."""

from __future__ import annotations

import pytest

from data_tools.notes.facts import UNKNOWN, clean, facts_of, given
from mmfm.records import Record

FULL = Record(
    "a", "0", "clinical", label=2, native_class="naevus", subclass="Clark nevus",
    matched_subclass="dysplastic nevus", malignancy="benign", description="flat\u00a0 macule,", age=44.5,
    sex="male", site="back", skin_tone="3", confirmation="follow-up",
)  # fmt: skip


def test_all_that_is_known_in_clean_form() -> None:
    assert given(FULL) == {
        "class": "melanocytic nevus",
        "native_class": "naevus",
        "subclass": "Clark nevus",
        "matched_subclass": "dysplastic nevus",
        "malignancy": "benign",
        "description": "flat macule",
        "age": "44.5",
        "sex": "male",
        "site": "back",
        "skin_tone": "3",
        "confirmation": "follow-up",
    }
    assert facts_of(FULL)["tone"] == "Fitzpatrick type III"
    assert facts_of(FULL)["description"] == "Flat macule."


@pytest.mark.parametrize("word", [*UNKNOWN, "N/A", " - ", "Unknown"])
def test_words_for_not_known_are_not_known(word: str) -> None:
    record = Record(
        "a", "0", "clinical", native_class=word, subclass=word, matched_subclass=word, malignancy=word,
        description=word, age=float("nan"), sex=word, site=word, skin_tone=word, confirmation=word,
    )  # fmt: skip
    assert given(record) == {}
    assert facts_of(record) == {}


def test_a_name_that_repeats_another_is_left_out() -> None:
    record = Record(
        "a",
        "0",
        "clinical",
        label=6,
        native_class="Melanoma",
        subclass="melanoma",
        matched_subclass="melanoma",
    )
    assert given(record) == {"class": "melanoma"}


def test_precancerous_in_other_words() -> None:
    record = Record("a", "0", "clinical", malignancy="indeterminate - pre-cancerous")
    assert given(record) == {"malignancy": "pre-cancerous"}


def test_marks_within_a_value_stay() -> None:
    assert clean(" (irregular) pre-cancerous;\n0-5 mm - ") == "(irregular) pre-cancerous; 0-5 mm"


@pytest.mark.parametrize(
    ("age", "patient"),
    [
        (float("inf"), None), (-1.0, None), (0.5, "a 0.5-year-old patient"),
        (11.5, "an 11.5-year-old patient"), (18.0, "an 18-year-old patient"),
        (80.0, "an 80-year-old patient"), (110.0, "a 110-year-old patient"),
    ],
)  # fmt: skip
def test_ages(age: float, patient: str | None) -> None:
    assert facts_of(Record("a", "0", "clinical", age=age)).get("patient") == patient
