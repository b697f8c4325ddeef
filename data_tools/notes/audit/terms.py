"""What terms mean: the words that notes use for diagnoses, malignancy, sex, sites and the rest, as concepts.

Diagnoses come from `mmfm.taxonomy`; `lexicon.yaml` adds further words and says what excludes what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from data_tools.notes.audit.sites import SITES
from data_tools.notes.graph import knowledge
from mmfm.taxonomy import CLASSES, CODES, SUBCLASSES, UNKNOWN_LABEL

FILE = Path(__file__).with_name("lexicon.yaml")
PLAIN = str.maketrans("-‐‑–’‘", "    ''")
VISIBLE = frozenset(
    {"crusting", "crusts", "chronic sun damage"}
)  # what the graph has as a symptom, but a picture shows
SPELLINGS = (
    ("nevus", "naevus"),
    ("nevi", "naevi"),
    ("seborrheic", "seborrhoeic"),
    ("hemangioma", "haemangioma"),
    ("tumor", "tumour"),
    ("color", "colour"),
    ("gray", "grey"),
    ("favor", "favour"),
)


@dataclass(frozen=True)
class Concept:
    """What a term means. `kind` tells which of the other fields hold something.

    kind: "diagnosis", "malignancy", "sex", "age", "site", "skin_tone", "confirmation", "history", "outside"
    (the closed sets of L1), "finding" (of the graph), "ignored".
    """

    kind: str
    name: str  # "melanoma", "benign", "cheek", "bleeding"
    classes: frozenset[int] = frozenset()  # diagnosis: labels it can mean; none: outside the eight
    axis: str = ""  # diagnosis: what its name excludes other names of
    value: str = ""  # its value on that axis
    span: tuple[float, float] | None = None  # age in years, Fitzpatrick types: lowest and highest


@dataclass(frozen=True)
class Term:
    """A phrase, normalised, and what it means. `exact`: only in this case."""

    phrase: str
    concept: Concept
    exact: bool = False


def normalise(text: str) -> str:
    """`text` with spaces for hyphens and with plain apostrophes; characters keep their places."""
    return text.translate(PLAIN)


@lru_cache(maxsize=1)
def terms() -> tuple[Term, ...]:
    """All terms, each phrase once for each kind; in doubt what stands first holds."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    found: dict[tuple[str, bool], Term] = {}
    for phrase, concept, exact in _entries(content):
        for variant in [phrase] if exact else _variants(phrase):
            found.setdefault((variant, exact), Term(variant, concept, exact))
    return tuple(found.values())


def _entries(content: dict[str, Any]) -> Iterator[tuple[str, Concept, bool]]:
    yield from _diagnoses(content)
    for value, words in content["malignancy"].items():
        yield from ((word, Concept("malignancy", value), False) for word in words)
    for value, words in content["sex"].items():
        yield from ((word, Concept("sex", value), False) for word in words)
    for word, (low, high) in content["ages"].items():
        yield word, Concept("age", word, span=(low, high)), False
    for word, (low, high) in content["tones"].items():
        yield word, Concept("skin_tone", word, span=(low, high)), False
    for site in SITES.values():
        yield from ((word, Concept("site", site.name), False) for word in site.words)
    for kind in ("confirmation", "history", "outside"):
        for value, words in content[kind].items():
            yield from ((word, Concept(kind, value), False) for word in words)
    yield from ((phrase, Concept("ignored", phrase), False) for phrase in content["ignored"])
    yield from _graph()


def _graph() -> Iterator[tuple[str, Concept, bool]]:
    """What the knowledge graph adds: its symptoms, risk factors and drugs are history, where new."""
    graph = knowledge()
    for kind in ("symptom", "risk factor", "drug"):
        for name in graph.names(kind):
            words = [word for word in (name, *graph.words(name)) if word not in VISIBLE]
            yield from ((word, Concept("history", name), False) for word in words)
    for name in graph.names("finding"):
        yield from ((word, Concept("finding", name), False) for word in (name, *graph.words(name)))


def _diagnoses(content: dict[str, Any]) -> Iterator[tuple[str, Concept, bool]]:
    """Terms of the axes first: they are the most exact on what a word means."""
    values = {}
    for entry in content["axes"]:
        label = CODES.index(entry["class"])
        values[entry["value"]] = concept = Concept(
            "diagnosis",
            entry["value"],
            frozenset({label}),
            f"{entry['class']} {entry['axis']}",
            entry["value"],
        )
        yield from ((word, concept, False) for word in (entry["value"], *entry["words"]))
    yield from _subclasses(values)
    for label, lesion in enumerate(CLASSES):
        concept = class_concept(label)
        words = (lesion.name, *lesion.words, *content["classes"][lesion.code])
        yield from ((word, concept, False) for word in words)
    for name, words in content["abbreviations"].items():
        concept = class_concept(CODES.index(name)) if name in CODES else values[name]
        yield from ((variant, concept, True) for word in words for variant in (word, f"{word}s"))
    for word, codes in content["open"].items():
        labels = frozenset(CODES.index(code) for code in codes)
        yield word, Concept("diagnosis", word, labels), False
    yield from ((word, Concept("diagnosis", word), False) for word in content["other"])
    yield from _codes()


def _subclasses(values: dict[str, Concept]) -> Iterator[tuple[str, Concept, bool]]:
    for subclass in SUBCLASSES:
        name = subclass.name.lower()
        if name == CLASSES[subclass.label].name or name == "benign melanocytic nevus":
            # Such a name says no more than its class; its further words may be of any kind of it.
            for word in subclass.words:
                yield word, Concept("diagnosis", word, frozenset({subclass.label})), False
            continue
        concept = values.get(name) or Concept("diagnosis", name, frozenset({subclass.label}))
        yield from ((word, concept, False) for word in (name, *subclass.words))


def _codes() -> Iterator[tuple[str, Concept, bool]]:
    """ICD-10 codes; one that several classes share leaves them open."""
    labels: dict[str, set[int]] = {}
    for label, lesion in enumerate(CLASSES):
        labels.setdefault(lesion.icd10.lower(), set()).add(label)
    for subclass in SUBCLASSES:
        labels.setdefault(subclass.icd10.lower(), set()).add(subclass.label)
    for code, several in labels.items():
        name = CLASSES[next(iter(several))].name if len(several) == 1 else code.upper()
        yield code, Concept("diagnosis", name, frozenset(several)), False


@cache
def class_concept(label: int) -> Concept:
    """The concept of a class by its integer label."""
    assert label != UNKNOWN_LABEL
    return Concept("diagnosis", CLASSES[label].name, frozenset({label}))


def _variants(phrase: str) -> Iterable[str]:
    """`phrase` normalised, with its plural and both spellings; the given form first."""
    plain = " ".join(normalise(phrase.lower()).split())
    forms = [plain, *_plurals(plain)]
    if plain.endswith(" nevus") and "melanocytic" not in plain:
        forms.append(plain.removesuffix("nevus") + "melanocytic nevus")
    for american, british in SPELLINGS:
        forms += [form.replace(american, british) for form in forms if american in form]
    return dict.fromkeys(forms)


def _plurals(phrase: str) -> list[str]:
    for ending, plural in (
        ("nevus", "nevi"),
        ("osis", "oses"),
        ("lentigo", "lentigines"),
        ("lentigo maligna", ""),
    ):
        if phrase.endswith(ending):
            return [phrase.removesuffix(ending) + plural] if plural else []
    return [phrase + "s"] if phrase[-1].isalpha() and phrase[-1] != "s" else []
