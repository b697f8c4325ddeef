"""What is found wrong with a note, against what is known of its lesion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.config import AuditConfig, GraphConfig
from data_tools.notes.audit import Audit, Finding, refusals
from data_tools.notes.audit.engine import audit_note, audit_notes
from data_tools.notes.strategies.metadata import MetadataTemplate
from data_tools.notes.strategies.primed import PrimedNote
from data_tools.notes.strategy import Settings
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, SUBCLASSES, label_of

CFG = AuditConfig()
FACTS: dict[str, Any] = {"age": 62.0, "sex": "female", "site": "face"}


def lesion(code: str, **fields: Any) -> Record:
    label = label_of(code)
    known = {"malignancy": CLASSES[label].malignancy, **FACTS, **fields}
    return Record("d", "1", "dermoscopic", label=label, **known)


def audit(code: str, text: str, name: str = "L2", cfg: AuditConfig = CFG, **fields: Any) -> Audit:
    return audit_note(lesion(code, **fields), Note(name, text), cfg)


def kinds(code: str, text: str, name: str = "L2", **fields: Any) -> set[str]:
    return audit(code, text, name, **fields).kinds()


# The three failures of the reference system's keyword matcher.
def test_malignant_melanoma_not_benign_is_not_benign() -> None:
    text = "The lesion is a malignant melanoma, not benign."
    assert kinds("MEL", text) == set()
    assert kinds("NEV", text) == {"class", "malignancy"}


def test_a_non_benign_lesion_is_not_benign() -> None:
    assert kinds("MEL", "This is a non-benign lesion.") == set()
    assert kinds("NEV", "This is a non-benign lesion.") == {"malignancy"}


def test_the_heading_asymmetry_does_not_make_a_lesion_asymmetric() -> None:
    report = "A) Asymmetry: {}. B) Border: sharp. C) Colors: red. D) Dermoscopic structures: dots."
    assert kinds("NEV", report.format("Symmetric"), "L1") == set()
    [finding] = audit("NEV", report.format("Lopsided"), "L1").findings
    assert finding.kind == "option" and "'Lopsided' is none of symmetric, asymmetric" in finding.detail


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("NEV", "This is a melanoma.", {"class"}),
        ("NEV", "This is not a nevus.", {"class"}),
        ("NEV", "No evidence of melanoma, BCC or SCC.", set()),
        ("NEV", "The diagnosis is psoriasis here.", {"class"}),
        ("NEV", "Either melanoma or a nevus is seen.", set()),
        ("NEV", "Either melanoma or BCC is seen.", {"class"}),
        ("MEL", "Lentigo maligna, a melanoma in situ.", set()),
        ("BCC", "Basal cell carcinoma, a carcinoma of the skin.", set()),
        ("ACK", "It may progress to squamous cell carcinoma.", set()),
        ("ACK", "The lesion is malignant, it seems.", {"malignancy"}),
        ("ACK", "A non-malignant, premalignant patch.", set()),
        ("SCC", "In summary benign in nature.", {"malignancy"}),
        ("VASC", "Malignancy: benign, as all of them.", set()),
        ("NEV", "The code is C43.9 in ICD-10.", {"class"}),
    ],
)
def test_contradictions(code: str, text: str, expected: set[str]) -> None:
    assert kinds(code, text) == expected


@pytest.mark.parametrize(
    ("subclass", "text", "expected"),
    [
        ("blue nevus", "A dysplastic nevus is seen.", {"subclass"}),
        ("blue nevus", "A benign melanocytic nevus is seen.", set()),
        ("dysplastic nevus", "A dysplastic compound nevus is seen.", set()),
        ("compound nevus", "A junctional nevus is seen.", {"subclass"}),
        ("blue nevus", "It is not a blue nevus.", {"subclass"}),
        ("", "A blue nevus is seen here.", set()),
    ],
)
def test_subclasses_exclude_each_other_only_where_both_are_known(
    subclass: str, text: str, expected: set[str]
) -> None:
    assert kinds("NEV", text, subclass=subclass) == expected


def test_what_the_record_itself_says_is_no_contradiction() -> None:
    mixed = {"subclass": "squamous cell carcinoma in situ", "malignancy": "malignant"}
    assert kinds("ACK", "A malignant Bowen disease, or actinic keratosis.", **mixed) == set()
    text = "Actinic keratosis and seborrheic keratosis."
    assert kinds("ACK", text, description=text) == set()
    assert kinds("ACK", text) == {"class"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A 62-year-old woman with it.", set()),
        ("A 65-year-old woman with it.", {"age"}),
        ("A woman in her sixties has it.", set()),
        ("The man in question has it.", {"sex"}),
        ("Men and women have it alike.", set()),
        ("It lies on the cheek.", set()),
        ("It lies on the head and neck.", set()),
        ("It lies on the lower leg.", {"site"}),
        ("It lies on the left cheek.", {"site"}),
        ("She has Fitzpatrick type II skin.", {"skin_tone"}),
        ("It was confirmed by biopsy.", {"confirmation"}),
        ("A biopsy is recommended to her.", set()),
        ("Her mother had a melanoma.", {"history"}),
        ("It has bled for two months.", {"history"}),
        ("There is a previous melanoma.", {"history"}),
        ("No history was given here.", set()),
        ("The age is not known.", set()),
    ],
)
def test_attributes_that_were_not_given_or_are_others(text: str, expected: set[str]) -> None:
    assert kinds("NEV", text) == expected


@pytest.mark.parametrize(
    ("tone", "text", "expected"),
    [
        ("2", "On Fitzpatrick type II skin.", set()),
        ("2", "On Fitzpatrick type IV skin.", {"skin_tone"}),
        ("2", "It is on fair skin.", set()),
        ("class 5", "It is on fair skin.", set()),
        ("class 0", "It is on fair skin.", {"skin_tone"}),
        ("class 3", "Skin of tone class 3 there.", set()),
        ("class 3", "On Fitzpatrick type III skin.", {"skin_tone"}),
    ],
)
def test_skin_tones_have_two_scales(tone: str, text: str, expected: set[str]) -> None:
    assert kinds("NEV", text, skin_tone=tone) == expected


def test_drawn_facts_support_what_they_say_and_no_more() -> None:
    note = Note("K", "Typical complaints: itching.", {"facts": {"symptom": ["itching"]}})
    assert audit_note(lesion("NEV"), note, CFG).kinds() == set()
    note = Note("K", "Typical complaints: bleeding.", {"facts": {"symptom": ["itching"]}})
    assert audit_note(lesion("NEV"), note, CFG).kinds() == {"history"}
    risk = {"facts": {"risk factor": ["earlier actinic keratoses"]}}
    assert (
        audit_note(lesion("SCC"), Note("K", "Risk: earlier actinic keratoses.", risk), CFG).kinds() == set()
    )
    assert audit_note(lesion("SCC"), Note("K", "It is actinic keratosis.", risk), CFG).kinds() == {"class"}


def test_recorded_symptoms_support_history() -> None:
    record = lesion("NEV", extras={"itch": True, "bleed": False})
    assert audit_note(record, Note("L2", "The lesion itches badly."), CFG).kinds() == set()
    assert audit_note(record, Note("L2", "The lesion bleeds badly."), CFG).kinds() == {"history"}


def test_leaks_are_those_of_hidden_strategies_and_of_the_recipe() -> None:
    text = "It is possibly a nevus."
    assert kinds("NEV", text, "S2-small") == {"leak"}
    assert kinds("NEV", "There is no nevus here.", "S2") == {"class"}
    assert kinds("MEL", "A dark, round spot.", "S2") == set()
    assert kinds("NEV", text, "L2-small") == set()
    hidden = AuditConfig(hidden=["L2-small"])
    assert audit("NEV", text, "L2-small", hidden).kinds() == {"leak"}
    assert audit("NEV", text, "L2", hidden).kinds() == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", {"empty"}), ("... \n", {"empty"}), ("Two words", {"length"}), ("brown " * 30, {"repetition"})],
)
def test_form(text: str, expected: set[str]) -> None:
    assert kinds("NEV", text) == expected


def test_recall_counts_the_facts_that_were_given_to_the_writer() -> None:
    text = "Melanoma, malignant, of a 62-year-old patient."
    assert audit("MEL", text).scores["recall"] == pytest.approx(3 / 5)  # sex and site are not told
    told = Note("L2", text, {"facts": {"class": "melanoma", "finding": ["irregular streaks"]}})
    assert audit_note(lesion("MEL"), told, CFG).scores["recall"] == pytest.approx(1 / 2)
    assert "recall" not in audit_note(lesion("MEL"), Note("OL", text, {"facts": {}}), CFG).scores


def test_precision_counts_the_statements_that_are_supported() -> None:
    scores = audit("MEL", "A malignant nevus of a 62-year-old man.").scores
    assert (scores["statements"], scores["precision"]) == (4, pytest.approx(2 / 4))
    invented = audit("NEV", "A blue nevus is seen here.").scores  # no contradiction, but not known either
    assert invented["precision"] == 0
    assert "precision" not in audit("NEV", "A small round spot.").scores


def test_findings_are_held_against_the_graph() -> None:
    text = "It shows milia-like cysts and irregular streaks."
    assert audit("BEK", text).scores["graph"] == pytest.approx(1 / 2)
    assert audit("BEK", text).findings == []
    assert "graph" not in audit("BEK", "A small round spot.").scores


def test_nothing_to_audit() -> None:
    assert audit_notes([], CFG) == []


def test_refusals_follow_the_recipe() -> None:
    bad = Audit([Finding("age", "x"), Finding("class", "y"), Finding("age", "z")], {"recall": 0.4})
    assert refusals(bad, "L1", AuditConfig()) == ["class", "age"]
    assert refusals(bad, "L1", AuditConfig(refuse=["sex"], min_recall=0.5)) == ["recall"]
    assert refusals(bad, "R", AuditConfig()) == []
    assert refusals(bad, "L1-small", AuditConfig(exempt=["L1"])) == []
    assert refusals(bad, "L1", AuditConfig(enabled=False)) == []
    assert refusals(Audit(), "L1", AuditConfig(min_recall=1, min_precision=1)) == []


def test_an_audit_survives_json() -> None:
    found = audit("NEV", "This is a melanoma.")
    assert found.findings and Audit.from_json(found.to_json()) == found
    assert Audit.from_json({}) == Audit()


def test_near_duplicates_beyond_the_limit_are_found_in_order() -> None:
    same = "One and the same note, with a number of words that is large enough, comes again and again."
    texts = [same, "Something else altogether is said here.", same, same.upper(), same]
    pairs = [(lesion("NEV"), Note("L2", text)) for text in texts] + [(lesion("NEV"), Note("S1", same))]
    audits = audit_notes(pairs, AuditConfig(max_near_duplicates=2), workers=1)
    assert ["near_duplicate" in each.kinds() for each in audits] == [False, False, False, True, True, False]
    assert [each.scores["near_duplicates"] for each in audits] == [3, 0, 3, 3, 3, 0]
    free = audit_notes(pairs, AuditConfig(), workers=1)
    assert not any("near_duplicate" in each.kinds() for each in free)


WORDS = st.sampled_from(
    ["", "solar lentigo", "nevus, NOS", "akiec", "benign-melanocytic nevus", "melanoma (in situ)"]
    + [one.name for one in SUBCLASSES]
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    label = draw(st.integers(-1, len(CLASSES) - 1))
    return Record(
        dataset="d",
        image_id=str(draw(st.integers(0, 10**6))),
        domain="clinical",
        label=label,
        native_class=draw(WORDS),
        subclass=draw(WORDS),
        matched_subclass=draw(st.sampled_from(["", *(one.name for one in SUBCLASSES)])),
        malignancy=draw(st.sampled_from(["", "benign", "pre-cancerous", "malignant"])),
        age=draw(st.none() | st.integers(1, 99).map(float)),
        sex=draw(st.sampled_from(["", "male", "female"])),
        site=draw(
            st.sampled_from(["", "back", "nose", "lower extremity", "palm or sole", "head and neck", "foot"])
        ),
        skin_tone=draw(st.sampled_from(["", "1", "4", "6", "class 0", "class 3"])),
        confirmation=draw(st.sampled_from(["", "histopathology", "expert consensus", "follow-up"])),
        description=draw(
            st.sampled_from(
                [
                    "",
                    "benign melanocytic proliferations",
                    "compound nevus- transected at the deep margin",
                    "actinic keratosis with adjacent SK",
                    "findings suspicious for the surface of a basal cell carcinoma",
                ]
            )
        ),
    )


@settings(max_examples=150, deadline=None)
@given(records())
def test_template_notes_do_not_lie(record: Record) -> None:
    drawing = Settings(graph=GraphConfig(findings=3, symptoms=3, risks=3, drugs=2))
    for strategy in (MetadataTemplate(), PrimedNote()):
        note = strategy.write(record, drawing)
        assert audit_note(record, note, CFG).findings == [], note.text


@settings(max_examples=100, deadline=None)
@given(records(), st.integers(0, len(CLASSES) - 1))
def test_another_class_is_always_found(record: Record, other: int) -> None:
    record = Record.from_json(
        {**record.to_json(), "label": record.label % len(CLASSES), "native_class": "", "subclass": ""}
        | {"matched_subclass": "", "description": ""}
    )
    text = f"The diagnosis is {CLASSES[other].name}."
    found = audit_note(record, Note("L2", text), CFG).kinds()
    assert ("class" in found) == (other != record.label)


@settings(max_examples=20, deadline=None)
@given(st.lists(records(), min_size=2, max_size=5), st.randoms())
def test_a_note_is_judged_without_its_neighbors(lesions: list[Record], random: Any) -> None:
    others = random.sample(lesions, len(lesions))
    template = MetadataTemplate()
    pairs = [
        (record, template.write(other, Settings())) for record, other in zip(lesions, others, strict=True)
    ]
    together = audit_notes(pairs, CFG, workers=1)
    alone = [audit_notes([pair], CFG, workers=1)[0] for pair in pairs]
    assert [each.findings for each in together] == [each.findings for each in alone]
    for one, other in zip(together, alone, strict=True):
        assert {**one.scores, "near_duplicates": 0} == {**other.scores, "near_duplicates": 0}
