"""From a model's answer to a note, or to the reason why there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from data_tools.notes.registry import STRATEGIES
from data_tools.notes.strategies.structured import OPTIONS
from data_tools.notes.strategies.unaided import class_list
from data_tools.notes.strategy import Settings, UnusableAnswerError
from mmfm.records import Record
from mmfm.taxonomy import NAMES, SUBCLASSES

RECORD = Record("a", "0", "clinical", label=6, malignancy="malignant")
REPORT = {
    "asymmetry": "asymmetric",
    "border": "indistinct",
    "colors": ["dark brown", "black"],
    "structures": ["dots"],
    "impression": "a malignant  melanoma",
}
REPORT_TEXT = (
    "A) Asymmetry: asymmetric. B) Border: indistinct. C) Colors: dark brown, black. "
    "D) Dermoscopic structures: dots. Impression: A malignant melanoma."
)
CHOICE = {
    "asymmetry": "present",
    "border": "Sharp.",
    "color": "red, white",
    "structures": "none",
    "class": "vascular lesion",
    "subclass": "vascular lesion",
    "malignancy": "benign",
}
CHOICE_TEXT = (
    "A) Asymmetry: present. B) Border: Sharp. C) Color: red, white. D) Dermoscopic structures: none. "
    "E) Diagnosis: vascular lesion. F) Malignancy: benign."
)


def read(name: str, answer: str | dict[str, Any]) -> str:
    """The note from an answer."""
    prompt = STRATEGIES[name].prompt(RECORD, Settings())
    return STRATEGIES[name].read(answer if isinstance(answer, str) else json.dumps(answer), prompt)


def test_json_reports_become_lettered_lists() -> None:
    assert read("L1", REPORT) == REPORT_TEXT
    assert read("OL", CHOICE) == CHOICE_TEXT


@pytest.mark.parametrize("name", ["L1", "OL"])
def test_json_may_stand_in_a_fence_or_after_words(name: str) -> None:
    values, text = (REPORT, REPORT_TEXT) if name == "L1" else (CHOICE, CHOICE_TEXT)
    answer = json.dumps(values, indent=2)
    assert read(name, f"```json\n{answer}\n```") == text
    assert read(name, f"Here is the report:\n{answer}\nI hope it helps.") == text
    assert read(name, f"The {{report}}: {answer}") == text
    assert read(name, f"<think>Is it {{red}}? A) no</think>{answer}") == text


def test_empty_lists_are_none_and_doubles_fall_away() -> None:
    text = read("L1", {**REPORT, "structures": [], "colors": ["red", "red"]})
    assert "C) Colors: red. D) Dermoscopic structures: none. Impression" in text


def test_a_subclass_stands_behind_its_class() -> None:
    text = read("OL", {**CHOICE, "class": "melanoma", "subclass": "lentigo maligna"})
    assert "E) Diagnosis: melanoma (lentigo maligna). F)" in text
    assert "E) Diagnosis: melanoma. F)" in read("OL", {**CHOICE, "class": "melanoma", "subclass": "none"})


@pytest.mark.parametrize(
    "answer",
    [
        "A) Asymmetry: asymmetric\nB) Border: indistinct\nC) Colors: dark brown, black\n"
        "D) Dermoscopic structures: dots\nImpression: A malignant melanoma.",
        "**A) Asymmetry:** asymmetric.\n\n**B) Border:** indistinct.\n\n**C) Colour:** dark brown, black.\n\n"
        "**D) Dermoscopic structures present:** dots.\n\n**Impression:** A malignant melanoma.",
        "Report\nA) asymmetric B) indistinct C) dark brown, black D) dots\nA malignant melanoma.",
        "A. asymmetric\nB. indistinct\nC. dark brown, black\nD. dots\n\nA malignant\nmelanoma",
    ],
)
def test_lettered_lists_come_into_one_form(answer: str) -> None:
    assert read("L1", answer) == REPORT_TEXT


def test_a_lettered_list_may_hold_braces() -> None:
    assert read("L1", "A) {x} B) sharp C) red D) dots") == (
        "A) Asymmetry: {x}. B) Border: sharp. C) Colors: red. D) Dermoscopic structures: dots."
    )


def test_lettered_choice() -> None:
    answer = (
        "A) Asymmetry: present\nB) Border: Sharp.\nC) Colour: red, white\nD) Dermoscopic structures: none\n"
        "E) Diagnosis: vascular lesion\nF) Malignancy: benign"
    )
    assert read("OL", answer) == CHOICE_TEXT


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        ("L1", "", "sections none where ABCD"),
        ("L1", "The lesion is asymmetric.", "sections none"),
        ("L1", "A) asymmetric B) sharp C) red", "sections ABC where"),
        ("L1", "A) asymmetric C) red B) sharp D) dots", "sections ACBD"),
        ("L1", "A) asymmetric B)\nC) red D) dots", "nothing stands behind B"),
        ("L1", json.dumps(REPORT)[:60], "broken or cut off"),
        ("L1", '{"asymmetry": "symmetric"}', "lacks border, colors, structures, impression"),
        ("L1", json.dumps({**REPORT, "border": 3}), "border is no text"),
        ("L1", json.dumps({**REPORT, "colors": [["red"]]}), "colors is no text"),
        ("OL", json.dumps({**CHOICE, "class": None}), "class is no text"),
        ("OL", "A) x B) x C) x D) x E) melanoma", "sections ABCDE where"),
        ("L2", "", "no words"),
        ("D2", " \n```\n```", "no words"),
        ("S1", "...", "no words"),
        ("K", "<think>what to say", "no words"),
    ],
)
def test_unusable_answers_say_why(name: str, answer: str, reason: str) -> None:
    with pytest.raises(UnusableAnswerError, match=reason):
        read(name, answer)


@pytest.mark.parametrize("name", ["L2", "S1", "S2", "D1", "D2", "K"])
def test_running_text_loses_its_layout(name: str) -> None:
    text = "Pigmented plaque, non-scaly. Border: ill-defined; 3-4 colors."
    assert read(name, text) == text
    assert read(name, f'"{text}"\n') == text
    layout = "## Note\n\n- **Pigmented plaque**, non-scaly.\n* Border: `ill-defined`; 3-4 colors.\n"
    assert read(name, layout) == "Note Pigmented plaque, non-scaly. Border: ill-defined; 3-4 colors."
    assert read(name, f"<think>hm</think>\n```text\n{text}\n```") == text


def test_schemas_hold_the_closed_sets() -> None:
    report = STRATEGIES["L1"].prompt(RECORD, Settings()).schema
    choice = STRATEGIES["OL"].prompt(RECORD, Settings()).schema
    assert report is not None and choice is not None
    for schema in (report, choice):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
    for key, options in OPTIONS.items():
        value = report["properties"][key]
        assert value.get("enum", value.get("items", {}).get("enum")) == list(options)
    assert choice["properties"]["class"]["enum"] == list(NAMES)
    assert choice["properties"]["subclass"]["enum"] == [*(one.name for one in SUBCLASSES), "none"]
    assert choice["properties"]["malignancy"]["enum"] == ["benign", "pre-cancerous", "malignant"]


def test_the_closed_list_has_each_subclass_below_its_class() -> None:
    listed = dict(class_list())
    assert list(listed) == list(NAMES)
    assert listed["melanoma"] == ["lentigo maligna"]
    assert listed["vascular lesion"] == []
    assert sum(map(len, listed.values())) == sum(one.name not in NAMES for one in SUBCLASSES)


def test_letters_and_quotes_within_sentences_are_left_alone() -> None:
    listed_ = REPORT_TEXT.replace("A malignant melanoma.", "A malignant melanoma, grade B. Vitamin D. helps.")
    assert read("L1", listed_) == listed_
    assert read("L1", REPORT_TEXT.replace(")", ".")) == REPORT_TEXT  # not as it was asked
    assert read("L2", '"A lesion."') == "A lesion."
    assert read("L2", '"Dark" in part, elsewhere "light"') == '"Dark" in part, elsewhere "light"'
