"""Strategy K: notes that tell the drawn facts, all of them, as what is typical."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.config import GraphConfig
from data_tools.notes.graph import draw
from data_tools.notes.registry import strategy_of, write_notes
from data_tools.notes.strategies.primed import COURSE, FINDINGS, SENTENCES, TEMPLATE_HASH, PrimedNote
from data_tools.notes.strategy import Settings
from mmfm.records import Record

FULL = Record(
    "a", "0", "clinical", label=6, subclass="lentigo maligna", malignancy="malignant", age=70, sex="female",
    site="face", skin_tone="1", confirmation="histopathology", description="a brown macule",
)  # fmt: skip
KINDS = ("finding", "symptom", "risk factor", "drug")
records = st.builds(
    lambda key, label, **known: Record("a", str(key), "clinical", label=label, **known),
    key=st.integers(0, 10**6),
    label=st.integers(0, 7),
    malignancy=st.sampled_from(("", "benign", "malignant")),
    age=st.sampled_from((None, 1.0, 80.0)),
    sex=st.sampled_from(("", "male", "female")),
    site=st.sampled_from(("", "ear", "palm or sole")),
    skin_tone=st.sampled_from(("", "4")),
    confirmation=st.sampled_from(("", "histopathology")),
)
drawing = st.builds(
    GraphConfig,
    symptoms=st.integers(0, 2),
    risks=st.integers(0, 2),
    drugs=st.integers(0, 1),
    seed=st.integers(0, 3),
)


@settings(max_examples=300)
@given(record=records, graph=drawing)
def test_every_drawn_and_given_fact_is_told(record: Record, graph: GraphConfig) -> None:
    note = write_notes(record, ["K"], Settings(graph=graph))["K"]
    facts = note.provenance["facts"]
    assert {kind: facts[kind] for kind in KINDS if kind in facts} == draw(record, graph)
    for name, value in facts.items():
        for word in value if name in KINDS else [value]:
            assert ("Fitzpatrick type IV" if name == "skin_tone" else word) in note.text
    assert not re.search(r"[{}]|\(\)|  | [.,;]|\.\.|None|\bunknown", note.text)
    sentences = re.findall(r"\.(?: |$)", note.text)
    assert (3 if "finding" in facts else 1) <= len(sentences) <= (6 if graph.drugs else 5)
    assert all(part[0].isupper() for part in re.split(r"(?<=\.) ", note.text))


def test_provenance_is_enough_to_write_the_note_again() -> None:
    note = write_notes(FULL, ["K"], Settings(graph=GraphConfig(temperature=2, seed=7)))["K"]
    assert note.strategy == "K"
    provenance = note.provenance
    assert provenance["backend"] == "template"
    assert provenance["version"] == PrimedNote.wording
    assert provenance["template_hash"] == TEMPLATE_HASH
    assert (provenance["temperature"], provenance["seed"]) == (2, 7)
    parts = [part.strip() for part in re.findall(r"([a-z ]+)\.\d+\.\d+", provenance["template"])]
    assert parts == [name for name, _ in SENTENCES if name in parts]
    assert "findings" in parts and "case" in parts


def test_facts_without_articles_stand_apart_from_the_sentence() -> None:
    wordings = [text for part in (FINDINGS, COURSE) for _, variants in part for text in variants]
    assert not [text for text in wordings if re.search(r"[^:(] \{(findings|symptoms|risks)\}", text)]


def test_wordings_and_facts_vary_with_the_key() -> None:
    notes = [write_notes(replace(FULL, image_id=str(n)), ["K"])["K"] for n in range(60)]
    assert len({note.text for note in notes}) > 45
    assert len({str(note.provenance["facts"]) for note in notes}) > 15


def test_a_lesion_of_unknown_class_gets_no_facts() -> None:
    note = write_notes(Record("a", "0", "clinical", malignancy="benign", site="ear"), ["K"])["K"]
    assert set(note.provenance["facts"]) == {"malignancy", "site"}
    assert "benign" in note.text and "on the ear" in note.text


def test_what_the_graph_holds_of_another_disease_is_not_told() -> None:
    kaposi = Record("a", "0", "clinical", label=3, subclass="Kaposi sarcoma", malignancy="malignant")
    note = write_notes(kaposi, ["K"])["K"]
    assert set(note.provenance["facts"]) == {"class", "subclass", "malignancy"}
    assert "D18" not in note.text  # that of a hemangioma
    codes = {"melanoma in situ": False, "lentigo maligna melanoma": False, "lentigo maligna": True, "": True}
    bare = Settings(graph=GraphConfig(symptoms=0, risks=0))
    for subclass, told in codes.items():
        text = write_notes(Record("a", "0", "clinical", label=6, subclass=subclass), ["K"], bare)["K"].text
        assert bool(re.search(r"ICD-10", text)) == told, subclass


def test_a_model_is_given_the_same_facts_and_no_picture() -> None:
    strategy, writer = strategy_of("K-default")
    assert writer == "default"
    given_ = Settings(graph=GraphConfig(risks=2), examples=("Seen last week.", "Brown macule."))
    prompt = strategy.prompt(FULL, given_)
    assert not prompt.image
    assert prompt.facts == strategy.write(FULL, given_).provenance["facts"]
    for kind in KINDS:
        for fact in prompt.facts.get(kind, ()):
            assert fact in prompt.user
    assert '"Seen last week."' in prompt.user
    assert "style" not in strategy.prompt(FULL, Settings()).user
