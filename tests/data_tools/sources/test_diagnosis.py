"""What the words of sources mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.sources.base import BadRowError
from data_tools.sources.diagnosis import _read, diagnosis_of, longest_diagnosis, plain
from mmfm.taxonomy import CODES, SUBCLASSES, subclass_of


@pytest.mark.parametrize(
    ("words", "code", "subclass", "matched"),
    [
        ("Nevus, NOS, Compound", "NEV", "compound nevus", "benign melanocytic nevus"),
        ("nevus- nos- compound", "NEV", "compound nevus", "benign melanocytic nevus"),
        ("Nevus, Atypical, Dysplastic, or Clark", "NEV", "dysplastic nevus", "dysplastic nevus"),
        ("naevus", "NEV", "melanocytic nevus", "benign melanocytic nevus"),
        ("Seborrhoeic keratosis", "BEK", "seborrheic keratosis", "seborrheic keratosis"),
        (
            "Squamous cell carcinoma in situ, Bowens disease",
            "SCC",
            "squamous cell carcinoma in situ",
            "Bowen disease",
        ),
        ("Bowen's Disease", "SCC", "squamous cell carcinoma in situ", "Bowen disease"),
        ("Actinic_solar_Damage(Actinic_Keratosis)", "ACK", "actinic keratosis", "actinic keratosis"),
        ("Melanoma in situ, Lentigo maligna type", "MEL", "lentigo maligna", "lentigo maligna"),
        ("melanoma (0.76 to 1.5 mm)", "MEL", "melanoma of 0.76 to 1.5 mm thickness", "melanoma"),
    ],
)
def test_words(words: str, code: str, subclass: str, matched: str) -> None:
    found = diagnosis_of(words)
    assert (CODES[found.label], found.subclass, found.matched) == (code, subclass, matched)
    assert found.native == words.lower()


def test_malignancy_that_words_leave_open_or_change() -> None:
    assert diagnosis_of("Atypical intraepithelial melanocytic proliferation").malignancy == ""
    assert diagnosis_of("Kaposi sarcoma").malignancy == "malignant"
    assert diagnosis_of("hemangioma").malignancy == "benign"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Lichen planus", "'Lichen planus' outside the eight classes"),
        ("Dermatitis herpetiformis", "unknown label 'Dermatitis herpetiformis'"),
        ("", "no diagnosis"),
        ("NOS", "no diagnosis"),
    ],
)
def test_what_is_refused_says_why(words: str, reason: str) -> None:
    with pytest.raises(BadRowError, match=reason):
        diagnosis_of(words)


def test_the_longest_beginning_counts() -> None:
    assert (
        longest_diagnosis("basal-cell-carcinoma-superficial").subclass == "superficial basal cell carcinoma"
    )
    assert longest_diagnosis("basal-cell-carcinoma-nose").subclass == "basal cell carcinoma"
    assert CODES[longest_diagnosis("malignant-melanoma").label] == "MEL"
    with pytest.raises(BadRowError, match="outside"):  # not the melanoma that its words begin with
        longest_diagnosis("melanoma-mimic")


def test_every_entry_agrees_with_the_taxonomy() -> None:
    known, _ = _read()
    for found in known.values():
        named = subclass_of(found.matched)
        assert named is None or named.label == found.label, found
    assert {found.matched for found in known.values()} - {""} == {subclass.name for subclass in SUBCLASSES}


@given(st.text(max_size=40))
def test_plain_words_stay_as_they_are(words: str) -> None:
    assert plain(plain(words)) == plain(words)
