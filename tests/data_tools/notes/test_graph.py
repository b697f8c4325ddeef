"""The knowledge graph: every statement has a source, every class is there, drawing follows the weights."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.config import GraphConfig
from data_tools.notes.graph import (
    FACT_KINDS,
    KINDS,
    compatible,
    draw,
    facts_about,
    findings_of,
    knowledge,
    names,
    words,
)
from data_tools.notes.graph.knowledge import FILE, Edge, read_knowledge
from data_tools.notes.graph.printing import describe
from data_tools.sources.diagnosis import diagnosis_of
from mmfm.errors import ConfigError, DataError
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, NAMES, SUBCLASSES, label_of

GRAPH = knowledge()
MELANOMA = Record("a", "0", "clinical", label=label_of("MEL"))


def test_every_edge_has_a_source_with_a_full_citation() -> None:
    for _, _, source in GRAPH.graph.edges(data="source"):
        assert any(year in GRAPH.sources[source] for year in map(str, range(2000, 2026)))
    assert "our own" in FILE.read_text().split("sources:")[0]  # whose the grades are


def test_every_class_and_subclass_is_reached_from_its_code() -> None:
    turned = nx.reverse(GRAPH.graph)
    for name, code in [(c.name, c.icd10) for c in CLASSES] + [(s.name, s.icd10) for s in SUBCLASSES]:
        assert name in nx.descendants(turned, code)
    for subclass in SUBCLASSES:
        parent = CLASSES[subclass.label].name
        assert subclass.name == parent or subclass.name in GRAPH.subclasses_of(parent)


def test_every_kind_has_names_and_every_fact_a_disease() -> None:
    assert all(names(kind) for kind in KINDS)
    for kind in FACT_KINDS:
        known = {fact for disease in NAMES for fact in facts_about(disease, kind)}
        assert known == set(names(kind))
    with pytest.raises(KeyError):
        names("organ")


def test_what_the_audit_asks() -> None:
    assert "arborizing vessels" in findings_of("basal cell carcinoma")
    assert "glomerular vessels" in findings_of("squamous cell carcinoma")
    assert "rhomboidal structures" in findings_of("melanoma")  # of its subclass
    assert "rhomboidal structures" not in findings_of("melanocytic nevus")
    assert compatible("basal cell carcinoma", "Arborising  vessels") is True
    assert compatible("melanoma", "arborizing vessels") is False
    assert compatible("Bowen disease", "immunosuppression") is True
    assert compatible("actinic keratosis", "5-FU") is True
    assert compatible("eczema", "itching") is None
    assert compatible("melanoma", "lymph nodes") is None
    assert compatible("melanoma", "lentigo maligna") is None  # a disease is no fact
    assert "arborising vessels" in words("arborizing vessels")


def test_a_subclass_takes_from_its_class_what_it_does_not_say_itself() -> None:
    def facts(disease: str, kind: str) -> set[str]:
        return {edge.fact for edge in GRAPH.edges(disease, kind)}

    assert facts("invasive squamous cell carcinoma", "drug") == facts("squamous cell carcinoma", "drug")
    assert "regular pigment network" not in facts("blue nevus", "finding")
    assert facts("blue nevus", "risk factor") == set()  # said to have none
    assert facts("melanocytic nevus", "risk factor")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blue-white veil: {weight: common, source: argenziano2003}", "blue-white veil: {weight: common}",
         "source ''"),
        ("source: dicesare2012", "source: nobody", "source 'nobody' is not one of"),
        ("source: dicesare2012", "source: bolognia", "nothing rests on the sources dicesare2012"),
        ("      ring-like globules: {", "      ring-like globulse: {", "'ring-like globulse' is not listed"),
        ("weight: rare, source: migden2018", "weight: seldom, source: migden2018", "cannot understand"),
        ("age: [16, 50]", "age: [50, 16]", "least, greatest"),
        ("sex: female", "sex: f", "cannot understand"),
        ("sites: [acral skin]", "sites: [palms]", "'palms' is not listed under 'site'"),
        ("coded as: {code: L57.0", "coded as: {code: L57.1", "actinic keratosis must be coded as L57.0"),
        ("is a: {disease: melanoma,", "is a: {disease: melanocytic nevus,",
         "lentigo maligna must be a melanoma"),
        ("  blue nevus:\n", "  green nevus:\n", "differ from the taxonomy"),
        ("    causes:\n      itching: {weight: occasional, source: bolognia}",
         "    makes:\n      itching: {}", "'makes'"),
        ("      tenderness: {weight: occasional, source: bolognia}", "      itching: {}", "stands twice"),
        ("  cobblestone pattern: []", "  cobblestone pattern: [globular pattern]", "already stands for"),
        ("  parallel ridge pattern: []", "  parallel ridge pattern: []\n  a dot: []",
         "no edge leads to a dot"),
        ("grades:", "grades: [", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = FILE.read_text()
    assert old in text
    path = tmp_path / "graph.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_knowledge(path)


diseases = st.sampled_from([(s.label, s.name) for s in SUBCLASSES] + [(n, "") for n in range(-1, 8)])
records = st.builds(
    lambda key, disease, age, sex, site: Record(
        "a", str(key), "clinical", label=disease[0], matched_subclass=disease[1], age=age, sex=sex, site=site
    ),
    key=st.integers(0, 10**6),
    disease=diseases,
    age=st.one_of(st.none(), st.integers(0, 100).map(float)),
    sex=st.sampled_from(("", "male", "female")),
    site=st.sampled_from(("", "acral skin", "face", "moon")),
)
configs = st.builds(
    GraphConfig,
    temperature=st.sampled_from((0.1, 1.0, 10.0)),
    findings=st.integers(1, 6),
    symptoms=st.integers(0, 3),
    risks=st.integers(0, 3),
    drugs=st.integers(0, 2),
    seed=st.integers(0, 3),
)


@settings(max_examples=200)
@given(record=records, cfg=configs)
def test_drawn_facts_hold_for_the_record(record: Record, cfg: GraphConfig) -> None:
    drawn = draw(record, cfg)
    disease = GRAPH.disease_of(record)
    if record.label == -1:
        assert drawn == {}
        return
    assert disease is not None
    assert 1 <= len(drawn["finding"]) <= cfg.findings
    assert len(drawn.get("symptom", ())) <= cfg.symptoms
    assert len(drawn.get("risk factor", ())) <= cfg.risks
    assert len(drawn.get("drug", ())) <= cfg.drugs
    for kind, facts in drawn.items():
        assert len(set(facts)) == len(facts)
        edges = {edge.fact: edge for edge in GRAPH.edges(disease, kind)}
        for fact in facts:
            edge = edges[fact]
            assert compatible(NAMES[record.label], fact)
            assert edge.age is None or (record.age is not None and edge.age[0] <= record.age <= edge.age[1])
            assert edge.sex in ("", record.sex)
            assert not edge.sites or record.site in edge.sites
    assert draw(Record.from_json(record.to_json()), cfg) == drawn


def test_conditions_that_the_record_does_not_tell_are_not_met() -> None:
    vascular = Record("a", "0", "clinical", label=label_of("VASC"))
    cfg = GraphConfig(risks=9, drugs=9)

    def ever(record: Record, kind: str) -> set[str]:
        keys = (replace(record, image_id=str(number)) for number in range(60))
        return {fact for one in keys for fact in draw(one, cfg).get(kind, ())}

    assert "pregnancy" not in ever(vascular, "risk factor")
    assert "pregnancy" not in ever(replace(vascular, sex="female"), "risk factor")
    assert "pregnancy" not in ever(replace(vascular, sex="male", age=30), "risk factor")
    assert "pregnancy" in ever(replace(vascular, sex="female", age=30), "risk factor")
    assert ever(replace(vascular, age=30), "drug") == set()
    assert ever(replace(vascular, age=1), "drug") == {"propranolol", "timolol"}
    assert "parallel ridge pattern" not in ever(replace(MELANOMA, site="back"), "finding")
    for site in ("palm or sole", "acral skin"):
        assert "parallel ridge pattern" in ever(replace(MELANOMA, site=site), "finding")


def test_what_holds_for_one_kind_of_a_disease_is_not_drawn_for_another() -> None:
    cfg = GraphConfig(findings=9, symptoms=9, risks=9, drugs=9)

    def ever(subclass: str, label: str = "VASC") -> set[str]:
        records = (Record("a", str(n), "", label=label_of(label), subclass=subclass) for n in range(60))
        return {fact for one in records for facts in draw(one, cfg).values() for fact in facts}

    assert {"red lacunae", "white rail lines", "whitish veil"} <= ever("") & ever("Vascular lesion")
    assert {"white rail lines", "rapid growth"} <= ever("Pyogenic granuloma")
    assert not {"red lacunae", "whitish veil"} & ever("Pyogenic granuloma")
    assert "white collarette" not in ever("cherry hemangioma") and "red lacunae" in ever("cherry hemangioma")
    assert not ever("spider angioma")  # of which the graph knows that it comes with pregnancy, and no more
    assert "pembrolizumab" in ever("nodular melanoma", "MEL") & ever("melanoma", "MEL")
    assert "pembrolizumab" not in ever("melanoma in situ", "MEL")


def test_kinds_of_a_disease_are_those_that_sources_name() -> None:
    subclasses = {diagnosis_of(of).subclass for edge in _statements() for of in edge.of}
    assert subclasses == {of for edge in _statements() for of in edge.of}


def _statements() -> list[Edge]:
    return [edge for disease in names("disease") for edge in GRAPH.statements(disease)]


def first_findings(cfg: GraphConfig) -> Counter[str]:
    keys = (replace(MELANOMA, image_id=str(number)) for number in range(2000))
    return Counter(draw(one, cfg)["finding"][0] for one in keys)


def test_first_draws_follow_weight_to_the_power_of_one_over_temperature() -> None:
    for temperature in (0.5, 1.0, 4.0):
        edges = [edge for edge in GRAPH.edges("melanoma", "finding") if not edge.sites]
        weights = {edge.fact: edge.weight ** (1 / temperature) for edge in edges}
        counts = first_findings(GraphConfig(temperature=temperature))
        for fact, weight in weights.items():
            share = weight / sum(weights.values())
            assert counts[fact] / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 2000) ** 0.5)


def test_numbers_of_facts_are_drawn_evenly_and_change_with_the_seed() -> None:
    keys = [replace(MELANOMA, image_id=str(number)) for number in range(900)]
    counts = Counter(len(draw(one, GraphConfig(findings=3))["finding"]) for one in keys)
    assert all(counts[number] / 900 == pytest.approx(1 / 3, abs=0.06) for number in (1, 2, 3))
    changed = sum(draw(one, GraphConfig()) != draw(one, GraphConfig(seed=1)) for one in keys)
    assert changed > 700


def test_the_disease_is_as_exact_as_the_record_tells() -> None:
    assert GRAPH.disease_of(MELANOMA) == "melanoma"
    assert GRAPH.disease_of(replace(MELANOMA, matched_subclass="lentigo maligna")) == "lentigo maligna"
    assert GRAPH.disease_of(replace(MELANOMA, subclass="Lentigo maligna melanoma")) == "lentigo maligna"
    assert GRAPH.disease_of(replace(MELANOMA, subclass="blue nevus")) == "melanoma"  # contradicts the class
    assert GRAPH.disease_of(Record("a", "0", "clinical")) is None


@pytest.mark.parametrize(
    ("code", "subclass", "disease"),
    [
        ("NEV", "atypical melanocytic proliferation", None),
        ("BEK", "clear cell acanthoma", None),
        ("BEK", "epidermal nevus", None),
        ("BEK", "Benign keratosis-like lesion", "benign keratosis"),  # words for the class
        ("ACK", "actinic keratosis or intraepithelial carcinoma", "actinic keratosis"),  # a group's name
        ("BEK", " - ", "benign keratosis"),  # not known
        ("VASC", "Cherry hemangioma", "vascular lesion"),  # a kind that the graph names
    ],
)
def test_a_kind_that_the_graph_does_not_hold_takes_nothing_of_its_class(
    code: str, subclass: str, disease: str | None
) -> None:
    record = Record("a", "0", "clinical", label=label_of(code), subclass=subclass)
    assert GRAPH.disease_of(record) == disease
    assert bool(draw(record, GraphConfig())) == (disease is not None)


def test_a_disease_is_printed_with_its_sources() -> None:
    text = "\n".join(describe("mel"))
    assert re.search(r"^melanoma; ICD-10 C43\.9$", text, re.MULTILINE)
    assert re.search(r"^lentigo maligna, a melanoma; ICD-10 D03\.9$", text, re.MULTILINE)
    assert re.search(r"parallel ridge pattern +common +saida2004  \(at acral skin\)", text)
    cited = set(re.findall(r"^  (\w+\d{4}\w?|bolognia|icd10) ", text.split("\nsources\n")[1], re.MULTILINE))
    assert set(re.findall(r"(?:common|occasional|rare) +(\w+)", text)) <= cited
    assert "as melanocytic nevus" in "\n".join(describe("dysplastic nevus"))
    assert "found at      as melanoma" not in text


def test_the_overview_lists_every_disease() -> None:
    lines = list(describe())
    assert {line.split("  ")[0].strip() or line.strip().split("  ")[0] for line in lines[1:-1]} == set(
        names("disease")
    )
    assert (
        lines[-1] == f"{GRAPH.graph.number_of_edges()} edges, each with one of {len(GRAPH.sources)} sources"
    )


def test_a_disease_that_the_graph_lacks() -> None:
    with pytest.raises(ConfigError, match=r"no 'melanom'; it has benign keratosis.*Did you mean melanoma\?"):
        next(iter(describe("melanom")))
