"""Prompts of the project's strategies for made-up lesions, with answers: what a tiny writer learns from.

Answers tell what the prompt gives and findings that are drawn from the habits of the diagnosis. A share of
them lies on purpose, so that the writer's notes give the audit something to find.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import yaml

from data_tools.demo.lesion import HABITS, Habit
from data_tools.notes.prompts import listed
from data_tools.notes.registry import STRATEGIES
from data_tools.notes.strategies.structured import OPTIONS
from data_tools.notes.strategy import Prompt, Settings
from data_tools.sources.diagnosis import FILE, Diagnosis, diagnosis_of
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, MALIGNANCIES, SUBCLASSES

ASKED = ("L1", "L2", "OL", "S1", "S2", "D1", "D2", "K")
LYING = 0.08  # share of the answers with one false statement
REFUSING = 0.003
SITES = (
    "trunk", "back", "chest", "abdomen", "face", "head and neck", "neck", "scalp", "ear", "nose", "lip",
    "hand", "foot", "arm", "forearm", "thigh", "shoulder", "upper extremity", "lower extremity",
    "genital area", "palm or sole", "lower leg", "buttock", "eyelid", "cheek",
)  # fmt: skip
CONFIRMATIONS = (
    "histopathology", "follow-up", "expert consensus", "clinical assessment", "confocal microscopy",
    "dermoscopy",
)  # fmt: skip
HISTORIES = (
    "It has grown over the last six months.",
    "The patient reports itching for several weeks.",
    "There is a family history of melanoma.",
    "It bled after a minor injury.",
)
REFUSAL = "I'm sorry, but I can't help with the diagnosis of a patient."
KINDS = ("macule", "papule", "nodule", "plaque")
BORDERS = {"sharp": "sharp", "irregular": "mixed", "blurred": "indistinct"}
COLORS = {"pink": "red", "purple": "red", "yellow": "light brown"}  # those of the options stay
STRUCTURES = {"streaks": "branched streaks", "red dots": "dots"}


def pairs(seed: int = 0) -> Iterator[tuple[Prompt, str]]:
    """Prompts and answers without end; the same seed gives the same ones."""
    rng = np.random.default_rng(seed)
    for number in range(2**62):
        name = ASKED[number % len(ASKED)]
        record = made_up_record(rng, number)
        prompt = STRATEGIES[name].prompt(record, Settings())
        yield prompt, REFUSAL if rng.random() < REFUSING else answer(prompt, CLASSES[record.label].code, rng)


def made_up_record(rng: np.random.Generator, number: int) -> Record:
    """A lesion with metadata as sources have it: anything may be missing but the class."""
    words, diagnosis = _diagnoses()[rng.integers(len(_diagnoses()))]
    usual = CLASSES[diagnosis.label].malignancy

    def maybe(value: str, share: float) -> str:
        return value if rng.random() < share else ""

    return Record(
        dataset="made-up",
        image_id=str(number),
        domain="dermoscopic",
        label=diagnosis.label,
        native_class=maybe(words, 0.3),
        subclass=maybe(diagnosis.subclass, 0.8),
        matched_subclass=maybe(diagnosis.matched, 0.5),
        malignancy=maybe(diagnosis.malignancy if diagnosis.malignancy in MALIGNANCIES else usual, 0.9),
        age=float(rng.integers(1, 19) * 5 if rng.random() < 0.8 else rng.integers(1, 95))
        if rng.random() < 0.85
        else None,
        sex=maybe(str(rng.choice(["male", "female"])), 0.85),
        site=maybe(str(rng.choice(SITES)), 0.85),
        skin_tone=maybe(str(rng.integers(1, 7)), 0.4),
        confirmation=maybe(str(rng.choice(CONFIRMATIONS)), 0.7),
        description=maybe(_seen(_look(_habit(rng, CLASSES[diagnosis.label].code), rng), rng), 0.05),
    )


def answer(prompt: Prompt, code: str, rng: np.random.Generator) -> str:
    """What a writer says to `prompt` about a lesion of the class `code`, now and then with a lie."""
    facts = dict(prompt.facts)
    lies = rng.random() < LYING
    told = _falsified(facts, rng) if lies and facts and rng.random() < 0.75 else facts
    history = str(rng.choice(HISTORIES)) if lies and told is facts else ""
    look = _look(_habit(rng, code), rng)
    if prompt.strategy == "L1":
        parts = {key: look[key] for key in OPTIONS}
        if lies and rng.random() < 0.3:
            parts["border"] = "wavy"  # outside the closed set
        return json.dumps({**parts, "impression": " ".join([_told(told), history]).strip()})
    if prompt.strategy == "OL":
        return json.dumps(_guess(look, code, rng, lies))
    seen = _seen(look, rng)
    if prompt.strategy == "S2":
        disease = f" It looks like {CLASSES[_other(code, rng)].name}." if lies else ""
        return f"The picture shows {seen}.{disease}"
    if prompt.strategy == "D2":
        guess = _other(code, rng) if rng.random() < 0.3 else _number(code)
        return f"{seen[0].upper()}{seen[1:]}, most likely {CLASSES[guess].name}."
    if prompt.strategy == "D1":
        return f"{seen[0].upper()}{seen[1:]}{_case(told)}; {_named(told)}{_resting(told)}. {history}".strip()
    if prompt.strategy == "K":
        return " ".join(filter(None, [_told(told), _typical(told), history]))
    opening = "The picture shows" if prompt.strategy == "S1" else "There is"
    return " ".join(filter(None, [f"{opening} {seen}.", _told(told), history]))


@cache
def _diagnoses() -> tuple[tuple[str, Diagnosis], ...]:
    """The words that sources use for a diagnosis, with what they mean; each class about as often."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))["diagnoses"]
    words = [word for entry in content for word in (entry["subclass"], *entry.get("words", ()))]
    known = [(word, diagnosis_of(word)) for word in words]
    by_class: dict[int, list[tuple[str, Diagnosis]]] = {}
    for word, diagnosis in known:
        by_class.setdefault(diagnosis.label, []).append((word, diagnosis))
    longest = max(map(len, by_class.values()))
    return tuple(group[index % len(group)] for group in by_class.values() for index in range(longest))


def _habit(rng: np.random.Generator, code: str) -> Habit:
    habits = [habit for habit in HABITS if habit.code == code]
    return habits[rng.integers(len(habits))]


def _look(habit: Habit, rng: np.random.Generator) -> dict[str, Any]:
    """Findings in the words of L1's options."""
    symmetric = float(rng.random()) < habit.asymmetry.get("symmetric", 0.0)
    border = str(rng.choice(list(habit.border), p=list(habit.border.values())))
    colors = [str(rng.choice(habit.base)), *rng.permutation(habit.others)[: rng.integers(0, 2)].tolist()]
    structures = [STRUCTURES.get(one, one) for one in (*habit.always, *habit.often) if rng.random() < 0.7]
    return {
        "asymmetry": OPTIONS["asymmetry"][not symmetric],
        "border": BORDERS[border],
        "colors": list(dict.fromkeys(COLORS.get(color, color) for color in colors)),
        "structures": [one for one in structures if one in OPTIONS["structures"]],
    }


def _seen(look: dict[str, Any], rng: np.random.Generator) -> str:
    kind, colors = str(rng.choice(KINDS)), listed(look["colors"])
    article = "an" if look["asymmetry"].startswith("a") else "a"
    structures = f", showing {listed(look['structures'])}" if look["structures"] else ""
    edge = {"sharp": "a sharp border", "indistinct": "an indistinct border", "mixed": "a mixed border"}
    return f"{article} {look['asymmetry']} {kind}, {colors} in color, with {edge[look['border']]}{structures}"


def _told(facts: dict[str, Any]) -> str:
    """All that is given, in two or three sentences."""
    sentences = [_opening(facts)]
    if case := _case(facts).removeprefix(", "):
        sentences.append(f"It is found {case}.")
    if facts.get("description"):
        sentences.append(f"Described as {facts['description']}.")
    tone = facts.get("skin_tone")
    if tone:
        sentences.append(f"The skin is of Fitzpatrick type {_roman(tone)}.")
    if facts.get("confirmation"):
        sentences.append(f"The diagnosis rests on {facts['confirmation']}.")
    return " ".join(sentences)


def _opening(facts: dict[str, Any]) -> str:
    if "malignancy" not in facts:
        return f"The diagnosis is {_named(facts)}."
    return f"The lesion is {facts['malignancy']}; its diagnosis is {_named(facts, malignancy=False)}."


def _named(facts: dict[str, Any], malignancy: bool = True) -> str:
    name = str(facts["class"])
    if facts.get("subclass"):
        name += f", more exactly {facts['subclass']}"
    others = [str(facts[key]) for key in ("native_class", "matched_subclass") if facts.get(key)]
    if others:
        name += f" ({'; '.join(others)})"
    return f"{facts['malignancy']} {name}" if malignancy and facts.get("malignancy") else name


def _case(facts: dict[str, Any]) -> str:
    """As in ", on the face of a 60-year-old female patient"; what is not known is left out."""
    age, sex, site = facts.get("age", ""), facts.get("sex", ""), facts.get("site", "")
    words = [f"{age}-year-old" if age else "", sex, "patient"] if age or sex else []
    patient = " ".join(filter(None, words))
    article = "an" if patient[:1] == "8" or patient[:3] in ("11-", "18-") else "a"
    patient = f"{article} {patient}" if patient else ""
    if site:
        return f", on the {site} of {patient}" if patient else f", on the {site}"
    return f", in {patient}" if patient else ""


def _resting(facts: dict[str, Any]) -> str:
    parts = [f"on skin of Fitzpatrick type {_roman(facts['skin_tone'])}" if facts.get("skin_tone") else ""]
    parts.append(f"confirmed by {facts['confirmation']}" if facts.get("confirmation") else "")
    parts.append(f"described as {facts['description']}" if facts.get("description") else "")
    return "".join(f", {part}" for part in parts if part)


def _typical(facts: dict[str, Any]) -> str:
    """What K is given as typical."""
    lines = {
        "finding": "Typical of this diagnosis: {}.",
        "symptom": "It typically comes with {}.",
        "risk factor": "It is typically favored by {}.",
        "drug": "Drugs in use for it: {}.",
    }
    return " ".join(line.format(listed(facts[kind])) for kind, line in lines.items() if facts.get(kind))


def _guess(look: dict[str, Any], code: str, rng: np.random.Generator, lies: bool) -> dict[str, str]:
    """The report of OL: often the right class, and a malignancy that belongs to it unless it lies."""
    label = _other(code, rng) if rng.random() < 0.3 else _number(code)
    lesion = CLASSES[label]
    subclasses = [one.name for one in SUBCLASSES if one.label == label and one.name != lesion.name] or [
        "none"
    ]
    wrong = [one for one in MALIGNANCIES if one != lesion.malignancy]
    return {
        "asymmetry": look["asymmetry"],
        "border": look["border"],
        "color": listed(look["colors"]),
        "structures": listed(look["structures"]) if look["structures"] else "none",
        "class": lesion.name,
        "subclass": str(rng.choice(subclasses)),
        "malignancy": str(rng.choice(wrong)) if lies else lesion.malignancy,
    }


def _falsified(facts: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The facts with one that is wrong, or that nobody gave."""
    lies = {
        "class": CLASSES[rng.integers(len(CLASSES))].name,
        "malignancy": str(rng.choice(MALIGNANCIES)),
        "age": str(rng.integers(1, 19) * 5),
        "sex": "female" if facts.get("sex") == "male" else "male",
        "site": str(rng.choice(SITES)),
        "confirmation": str(rng.choice(CONFIRMATIONS)),
    }
    name = str(rng.choice(list(lies)))
    return {**facts, name: lies[name]}


def _number(code: str) -> int:
    return next(label for label, lesion in enumerate(CLASSES) if lesion.code == code)


def _other(code: str, rng: np.random.Generator) -> int:
    return int(rng.choice([label for label, lesion in enumerate(CLASSES) if lesion.code != code]))


def _roman(tone: str) -> str:
    return ("I", "II", "III", "IV", "V", "VI")[int(tone) - 1]
