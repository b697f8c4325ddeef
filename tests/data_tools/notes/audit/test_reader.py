"""What a note claims of the terms in it."""

from __future__ import annotations

import pytest

from data_tools.notes.audit.reader import Mention, reader


def read(text: str) -> list[Mention]:
    return reader().read(text)


def assertion(text: str, name: str) -> str:
    """What `text` claims of the one term that means `name`."""
    [found] = [mention for mention in read(text) if mention.concept.name == name]
    return found.assertion


@pytest.mark.parametrize(
    "text",
    [
        "This is a melanoma.",
        "The lesion is most consistent with melanoma.",
        "No ulceration, melanoma.",
        "The lesion shows no ulceration and is a melanoma.",
        "The absence of a network suggests no nevus; the diagnosis is melanoma.",
        "The lack of vessels speaks for melanoma.",
        "A nodule without ulceration typical of melanoma.",
        "It is not benign: a melanoma was found.",
        "Melanoma without ulceration or itching.",
        "Not only is it dark, it is a melanoma.",
        "There is no doubt that this is melanoma.",
        "Differential diagnosis: blue nevus. Final diagnosis: melanoma.",
        "Differential diagnosis:\n- blue nevus\n- angioma\n\nDiagnosis: melanoma",
        "The border is not sharp, the color is uneven, the lesion is a melanoma.",
        "The final diagnosis, after some discussion, is melanoma.",
        "E) Diagnosis: melanoma. F) Malignancy: malignant.",
        "A nevus was ruled out and the lesion is a melanoma.",
        "possible regression, melanoma",
        "Diagnosed as melanoma (C44.9 does not apply).",
    ],
)
def test_claims(text: str) -> None:
    assert assertion(text, "melanoma") == "affirmed"


@pytest.mark.parametrize(
    "text",
    [
        "not a melanoma",
        "No evidence of melanoma.",
        "no melanoma, nevus or lentigo",
        "Melanoma was ruled out.",
        "Nevus or melanoma are excluded.",
        "Neither melanoma nor carcinoma.",
        "The lesion lacks features of melanoma.",
        "without features typical of melanoma",
        "no structures suspicious for melanoma",
        "does not suggest melanoma",
        "Melanoma: no.",
        "a nevus rather than a melanoma",
        "It isn't a melanoma.",
        "It isn’t a melanoma.",
        "A nevus is seen and melanoma is excluded.",
        "The findings are inconsistent with melanoma.",
    ],
)
def test_denials(text: str) -> None:
    assert assertion(text, "melanoma") == "negated"


@pytest.mark.parametrize(
    "text",
    [
        "possible melanoma",
        "suspicious for melanoma",
        "Melanoma cannot be excluded.",
        "Melanoma has not been ruled out.",
        "Differential diagnosis includes nevus, angioma and melanoma.",
        "Differential diagnosis:\n- Blue nevus\n- Melanoma\n- Angioma",
        "Is this a melanoma?",
        "It is unclear whether this is a melanoma.",
        "may not be a melanoma",
        "A biopsy is recommended to rule out melanoma.",
        "It must be distinguished from melanoma.",
        "The lesion is unlikely to be a melanoma.",
        "Nevus versus melanoma.",
    ],
)
def test_doubts(text: str) -> None:
    assert assertion(text, "melanoma") == "uncertain"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("may progress to squamous cell carcinoma", "squamous cell carcinoma", "hypothetical"),
        ("a keratosis that mimics melanoma", "melanoma", "hypothetical"),
        ("no melanoma-specific structures", "melanoma", "hypothetical"),
        ("a melanoma-like spot", "melanoma", "hypothetical"),
        ("criteria for melanoma are not met", "melanoma", "hypothetical"),
        ("melanoma arising in a nevus", "melanocytic nevus", "hypothetical"),
        ("a history of melanoma", "melanoma", "historical"),
        ("Previous melanoma of the back.", "melanoma", "historical"),
        ("Her mother had melanoma.", "melanoma", "family"),
        ("Her mother had melanoma.", "female", "family"),
        ("The age is not given; no information on sex: male or female.", "male", "unknown"),
        ("A lichen planus-like keratosis.", "lichenoid keratosis", "affirmed"),
        ("Malignancy: benign", "malignant", "heading"),
        ("Malignancy: no", "malignant", "negated"),
        ("Benign vs malignant: pre-cancerous", "malignant", "heading"),
        ("A biopsy is recommended.", "histopathology", "hypothetical"),
        ("The biopsy site is the back.", "histopathology", "listed"),
        ("A biopsy confirmed nevus.", "histopathology", "affirmed"),
        ("Histology: nevus", "histopathology", "affirmed"),
    ],
)
def test_other_assertions(text: str, name: str, expected: str) -> None:
    assert assertion(text, name) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("benign/seborrheic keratosis", "benign keratosis"),
        ("basal-cell carcinomas", "basal cell carcinoma"),
        ("naevi", "melanocytic nevus"),
        ("seborrhoeic keratoses", "seborrheic keratosis"),
        ("squamous cell   carcinoma", "squamous cell carcinoma"),
        ("squamous\ncell carcinoma", "squamous cell carcinoma"),
        ("BCC", "basal cell carcinoma"),
        ("two SKs", "seborrheic keratosis"),
        ("C43.9", "melanoma"),
        ("non-melanoma skin cancer", "non melanoma skin cancer"),
        ("pre-malignant", "pre-cancerous"),
        ("compound melanocytic nevus", "compound nevus"),
    ],
)
def test_the_longest_name_counts(text: str, name: str) -> None:
    assert [mention.concept.name for mention in read(text)] == [name]


@pytest.mark.parametrize("text", ["ask", "a df of 3", "the sole feature", "on the other hand", ""])
def test_words_that_mean_something_else(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("a 62-year-old man", (61.5, 62.5)),
        ("62 y/o", (61.5, 62.5)),
        ("aged 62", (61.5, 62.5)),
        ("sixty-two years old", (61.5, 62.5)),
        ("Age: 62", (61.5, 62.5)),
        ("about 60 years old", (55, 65)),
        ("60 to 70 years old", (59.5, 70.5)),
        ("in her sixties", (60, 69)),
        ("in his early 60s", (60, 64)),
        ("in the seventh decade of life", (60, 69)),
        ("62F", (62, 62)),
        ("an octogenarian", (80, 89)),
        ("18 months old", (1.0, 2.0)),
    ],
)
def test_ages(text: str, span: tuple[float, float]) -> None:
    [age] = [mention.concept for mention in read(text) if mention.concept.kind == "age"]
    assert age.span == span


@pytest.mark.parametrize(
    ("text", "durations"),
    [
        ("for three months", 1),
        ("since 2019", 1),
        ("a 2-year history", 1),
        ("follow-up in 6 months", 0),
        ("a 62-year-old man", 0),
        ("every 3 months", 0),
    ],
)
def test_durations_are_history(text: str, durations: int) -> None:
    assert [mention.concept.name for mention in read(text)].count("duration") == durations


def test_places_are_those_of_the_text() -> None:
    text = "Color:  brown.\n\nDiagnosis:  basal-cell carcinoma, in a 62-year-old."
    assert [text[mention.start : mention.end] for mention in read(text)] == [
        "basal-cell carcinoma",
        "62-year-old",
    ]


def test_alternatives_are_marked() -> None:
    mentions = read("melanoma or blue nevus")
    assert [len(mention.alternatives) for mention in mentions] == [2, 2]
    assert all(not mention.alternatives for mention in read("melanoma (lentigo maligna)"))
