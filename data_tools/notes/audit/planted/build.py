"""Notes with known errors: patterns filled from made-up records, and M and K notes of altered records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml

from data_tools.config import GraphConfig
from data_tools.notes.audit.planted.records import CONFIRMATIONS, Case, cases, wrong_malignancy
from data_tools.notes.strategies.metadata import MetadataTemplate
from data_tools.notes.strategies.primed import PrimedNote
from data_tools.notes.strategy import NoteStrategy, Settings
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, label_of

# Patterns that the rules were written with, and such as were written when the rules stood.
FILES = {"known": ("first", "second", "third", "fourth", "fifth"), "held out": ("held_out",)}
HALVES = tuple(FILES)
AT_LEAST = 30  # notes of each error in each file
CLEAN_EACH = 3  # notes of each clean pattern
ROMAN = ("", "I", "II", "III", "IV", "V", "VI")
UNKNOWN: dict[str, Any] = {"age": None, "sex": "", "site": "", "skin_tone": "", "confirmation": ""}


@dataclass(frozen=True)
class Planted:
    """A note with what is known to be wrong with it."""

    half: str  # of HALVES
    error: str  # "swapped class", ...; "" for a clean one
    kind: str  # the kind of finding that it must raise; "" for a clean one
    record: Record
    note: Note


def planted_notes() -> list[Planted]:
    """The set: the same at every call."""
    found = [
        planted for half, files in FILES.items() for file in files for planted in _of_patterns(half, file)
    ]
    found += _of_templates()
    return found


@cache
def _patterns(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(f"{file}.yaml").read_text())
    return content


def _of_patterns(half: str, file: str) -> Iterator[Planted]:
    patterns = _patterns(file)
    for number, pattern in enumerate(patterns["clean"]):
        for case in islice(_suited(pattern, number), CLEAN_EACH):
            yield _fill(half, file, "", "", pattern, case)
    for error, content in patterns["errors"].items():
        suited = [_suited(pattern, number) for number, pattern in enumerate(content["notes"])]
        for pattern, turn in islice(cycle(zip(content["notes"], suited, strict=True)), AT_LEAST):
            yield _fill(half, file, error, content["kind"], pattern, next(turn))


def _suited(pattern: dict[str, Any], start: int) -> Iterator[Case]:
    """Cases that a pattern suits, round and round, beginning elsewhere for each pattern."""
    only = pattern.get("only", "")
    everything = cases()
    order = [everything[(7 * start + place) % len(everything)] for place in range(len(everything))]
    fitting = [
        case
        for case in order
        if (not only or only == case.record.malignancy or CLASSES[case.record.label].code in only)
        and ("ther_subclass}" not in pattern["text"] or case.other_subclass)
    ]
    return cycle(fitting)


def _fill(half: str, file: str, error: str, kind: str, pattern: dict[str, Any], case: Case) -> Planted:
    unknown = {name: UNKNOWN[name] for name in pattern.get("without", ())}
    neutral = _patterns(file)["neutral"]
    fields = {**_fields(case), "neutral": neutral[int(case.record.image_id) % len(neutral)]}
    text = pattern["text"].format(**fields)
    note = Note(pattern["style"], text[:1].upper() + text[1:])
    return Planted(half, error, kind, replace(case.record, **unknown), note)


def _fields(case: Case) -> dict[str, str]:
    record = case.record
    female = record.sex == "female"
    wrong_tone = ROMAN[6 if int(record.skin_tone) < 4 else 1]
    fields = {
        "class": record.class_name,
        "subclass": record.subclass,
        "malignancy": record.malignancy,
        "age": f"{record.age:g}",
        "decade": f"{int(record.age or 0) // 10 * 10}",
        "sex": record.sex,
        "woman": "woman" if female else "man",
        "she": "she" if female else "he",
        "her": "her" if female else "his",
        "site": record.site,
        "broad_site": case.broad_site,
        "tone": ROMAN[int(record.skin_tone)],
        "confirmation": record.confirmation,
        "other": case.other,
        "other_subclass": case.other_subclass,
        "wrong_malignancy": wrong_malignancy(record),
        "wrong_age": str(case.wrong_age),
        "wrong_decade": str(case.wrong_age // 10 * 10),
        "wrong_sex": "male" if female else "female",
        "wrong_woman": "man" if female else "woman",
        "wrong_she": "he" if female else "she",
        "wrong_site": case.wrong_site,
        "wrong_tone": wrong_tone,
        "wrong_confirmation": next(one for one in CONFIRMATIONS if one != record.confirmation),
    }
    articles = {f"a_{name}": f"{_article(fields[name])} {fields[name]}" for name in ("class", "other")}
    fields |= articles
    return fields | {
        name[0].upper() + name[1:]: value[:1].upper() + value[1:] for name, value in fields.items()
    }


def _article(name: str) -> str:
    return "an" if name[:1] in "aeiou" else "a"


def _of_templates() -> Iterator[Planted]:
    """M and K notes, clean, and those of records in which one thing is altered."""
    settings = Settings(graph=GraphConfig())
    strategies: tuple[NoteStrategy, ...] = (MetadataTemplate(), PrimedNote())
    for strategy in strategies:
        for case in cases():
            record = case.record
            yield Planted(HALVES[0], "", "", record, strategy.write(record, settings))
        for number, case in enumerate(cases()):
            for error, kind, altered, truth in _alterations(case)[number % 3 :: 3]:
                yield Planted(HALVES[0], error, kind, truth, strategy.write(altered, settings))


def _alterations(case: Case) -> list[tuple[str, str, Record, Record]]:
    """(error, kind, the record that the note is of, the record that it is audited against)."""
    record = case.record
    found = [
        (f"invented {name.replace('_', ' ')}", name, record, replace(record, **{name: UNKNOWN[name]}))
        for name in UNKNOWN
    ]
    wrong: dict[str, tuple[str, dict[str, Any]]] = {
        "wrong age": ("age", {"age": float(case.wrong_age)}),
        "wrong site": ("site", {"site": case.wrong_site}),
        "wrong sex": ("sex", {"sex": "male" if record.sex == "female" else "female"}),
        "flipped malignancy": ("malignancy", {"malignancy": wrong_malignancy(record)}),
        "swapped class": ("class", {"label": label_of(case.other), "subclass": "", "matched_subclass": ""}),
    }
    found += [(error, kind, replace(record, **change), record) for error, (kind, change) in wrong.items()]
    if case.other_subclass:
        swapped = replace(record, subclass=case.other_subclass, matched_subclass="")
        found.append(("swapped subclass", "subclass", swapped, record))
    return found
