"""Strategy OL: a report by the picture alone, which must choose one class of a closed list."""

from __future__ import annotations

from typing import Any

from data_tools.notes.strategies.answers import json_object, lettered, sentence, without_heading, words_of
from data_tools.notes.strategies.asked import AskedStrategy
from data_tools.notes.strategy import Label, Prompt, Settings
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, MALIGNANCIES, SUBCLASSES

NO_SUBCLASS = "none"
KEYS = ("asymmetry", "border", "color", "structures", "class", "subclass", "malignancy")
HEADINGS = {
    "A": "Asymmetry",
    "B": "Border",
    "C": "Color",
    "D": "Dermoscopic structures",
    "E": "Diagnosis",
    "F": "Malignancy",
}


def _schema() -> dict[str, Any]:
    properties: dict[str, Any] = {key: {"type": "string"} for key in KEYS[:4]}
    subclasses = [subclass.name for subclass in SUBCLASSES]
    properties["class"] = {"type": "string", "enum": [lesion.name for lesion in CLASSES]}
    properties["subclass"] = {"type": "string", "enum": [*subclasses, NO_SUBCLASS]}
    properties["malignancy"] = {"type": "string", "enum": list(MALIGNANCIES)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(KEYS),
        "additionalProperties": False,
    }


def class_list() -> list[tuple[str, list[str]]]:
    """The classes, each with those of its subclasses that have another name."""
    return [
        (lesion.name, [one.name for one in SUBCLASSES if one.label == label and one.name != lesion.name])
        for label, lesion in enumerate(CLASSES)
    ]


class UnaidedReport(AskedStrategy):
    """Strategy OL. Its notes read "A) Asymmetry: ... E) Diagnosis: melanoma. F) Malignancy: malignant."."""

    name = "OL"
    label: Label = "guessed"
    told = False
    schema = _schema()

    def context(self, record: Record, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The closed list; nothing of the record."""
        return {"classes": class_list(), "malignancies": MALIGNANCIES, "no_subclass": NO_SUBCLASS}

    def read(self, answer: str, prompt: Prompt) -> str:
        """The report, from JSON or from a lettered list."""
        values = json_object(answer, KEYS)
        if values is None:
            parts = lettered(answer, "".join(HEADINGS))
        else:
            words = [words_of(values[key], key) for key in KEYS]
            subclass = words[5] if words[5].lower() not in ("", NO_SUBCLASS, words[4].lower()) else ""
            words[4:6] = [f"{words[4]} ({subclass})" if subclass else words[4]]
            parts = dict(zip(HEADINGS, words, strict=True))
        lines = []
        for letter, heading in HEADINGS.items():
            first = heading.split()[0].replace("Color", "Colou?r")
            said = without_heading(parts[letter], rf"{first}\w*")
            lines.append(f"{letter}) {heading}: {said or 'not described'}.")
        return sentence(" ".join(lines))
