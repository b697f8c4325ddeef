"""Strategy L1: a structured report (asymmetry, border, colors, dermoscopic structures) from closed options.

The letters follow the ABCD rule of dermoscopy (Stolz et al., Eur J Dermatol 1994;4:521-527), without its
scores. The model is told the metadata, and shown the picture.
"""

from __future__ import annotations

from typing import Any

from data_tools.notes.strategies.answers import (
    json_object,
    lettered,
    list_of,
    sentence,
    without_heading,
    words_of,
)
from data_tools.notes.strategies.asked import AskedStrategy
from data_tools.notes.strategy import Label, Prompt, Settings
from mmfm.records import Record

OPTIONS: dict[str, tuple[str, ...]] = {
    "asymmetry": ("symmetric", "asymmetric"),
    "border": ("sharp", "indistinct", "mixed"),
    "colors": ("white", "red", "light brown", "dark brown", "blue-gray", "black"),
    "structures": ("structureless areas", "pigment network", "branched streaks", "dots", "globules"),
}
LISTS = ("colors", "structures")  # any number of options, where the others take one
HEADINGS = {
    "A": ("asymmetry", "Asymmetry"),
    "B": ("border", "Border"),
    "C": ("colors", "Colors"),
    "D": ("structures", "Dermoscopic structures"),
}
NO_STRUCTURE = "none"  # what a note says for an empty list
IMPRESSION = "impression"


def _schema() -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key, options in OPTIONS.items():
        choice = {"type": "string", "enum": list(options)}
        least = 1 if key == "colors" else 0
        properties[key] = (
            {"type": "array", "items": choice, "minItems": least, "maxItems": len(options)}
            if key in LISTS
            else choice
        )
    properties[IMPRESSION] = {"type": "string"}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class StructuredReport(AskedStrategy):
    """Strategy L1. Its notes read "A) Asymmetry: asymmetric. B) Border: ... Impression: ...".

    Whether the options are those of the list is the audit's to say: `read` takes any.
    """

    name = "L1"
    label: Label = "given"
    told = True
    schema = _schema()

    def context(self, record: Record, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts and the options."""
        return {**super().context(record, settings, facts), "options": OPTIONS}

    def read(self, answer: str, prompt: Prompt) -> str:
        """The report, from JSON or from a lettered list."""
        values = json_object(answer, (*OPTIONS, IMPRESSION))
        if values is None:
            return _from_list(answer)
        lines = []
        for letter, (key, heading) in HEADINGS.items():
            words = list_of(values[key], key) if key in LISTS else [words_of(values[key], key)]
            lines.append(f"{letter}) {heading}: {', '.join(filter(None, words)) or NO_STRUCTURE}.")
        return " ".join([*lines, _impression(words_of(values[IMPRESSION], IMPRESSION))]).strip()


def _from_list(answer: str) -> str:
    parts = lettered(answer, "".join(HEADINGS))
    last, impression = _cut_impression(parts["D"])
    lines = []
    for letter, (_, heading) in HEADINGS.items():
        words = last if letter == "D" else parts[letter]
        first = heading.split()[0].rstrip("s")  # "Color:", "Colours:", "Dermoscopic structures present:"
        spelling = first.replace("Color", "Colou?r") + r"\w*"
        lines.append(f"{letter}) {heading}: {without_heading(words, spelling) or NO_STRUCTURE}.")
    return " ".join([*lines, _impression(impression)]).strip()


def _cut_impression(text: str) -> tuple[str, str]:
    """The structures, and what follows them: behind "Impression:", else from the second line on."""
    place = text.lower().find("impression")
    if place >= 0:
        return text[:place], without_heading(text[place:], "impression")
    first, _, rest = text.partition("\n")
    return first, " ".join(rest.split())


def _impression(text: str) -> str:
    return f"Impression: {sentence(text)}" if text else ""
