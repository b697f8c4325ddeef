"""Strategy M: a note says what the record holds, all of it, and nothing else."""

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.notes.registry import STRATEGIES, write_notes
from data_tools.notes.strategies.metadata import SENTENCES, TEMPLATE_HASH
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, MALIGNANCIES

SITES = ("head and neck", "lower extremity", "palm or sole", "ear")
CONFIRMATIONS = ("histopathology", "follow-up", "expert consensus")
DESCRIPTION = "an asymmetric lesion of about 9 mm, black and red in colour, with streaks"
# Words that mean a fact: one in a note must stand in the record as well.
SUBCLASSES = (
    "blue nevus",
    "invasive melanoma",
    "lentigo maligna",
    "nevus",
    "solar lentigo",
    "actinic keratosis",
)
OTHERS = ("male", "female", "year-old", "Fitzpatrick", "streaks")
VOCABULARY = (*SITES, *CONFIRMATIONS, *MALIGNANCIES, *(c.name for c in CLASSES), *SUBCLASSES, *OTHERS)

records = st.builds(
    Record,
    dataset=st.sampled_from(("ham10000", "clinic")),
    image_id=st.integers(0, 10**6).map(str),
    domain=st.just("clinical"),
    label=st.integers(-1, len(CLASSES) - 1),
    subclass=st.sampled_from(("", *SUBCLASSES)),
    native_class=st.sampled_from(("", "-", "nevus", "melanoma", "naevus cellularis")),
    matched_subclass=st.sampled_from(("", "blue nevus", "lentigo maligna", "melanoma")),
    malignancy=st.sampled_from(("", *MALIGNANCIES)),
    age=st.one_of(st.none(), st.integers(1, 100).map(float), st.just(0.5)),
    sex=st.sampled_from(("", "male", "female")),
    site=st.sampled_from(("", *SITES)),
    skin_tone=st.sampled_from(("", "1", "6", "class 3")),
    confirmation=st.sampled_from(("", *CONFIRMATIONS)),
    description=st.sampled_from(("", "-", DESCRIPTION)),
)


def note(record: Record) -> str:
    return write_notes(record, ["M"])["M"].text


def facts(record: Record) -> list[str]:
    """The words of the record that a note about it has to hold."""
    words = [record.class_name, record.malignancy, record.sex, record.site, record.confirmation]
    names = [record.class_name]
    for name in (record.subclass, record.native_class, record.matched_subclass):
        if name != "-" and not any(set(name.split()) <= set(other.split()) for other in names):
            names.append(name)
    words += names[1:]
    if record.age is not None:
        words.append(f"{record.age:g}-year-old")
    if record.skin_tone:
        words.append(
            {"1": "Fitzpatrick type I", "6": "Fitzpatrick type VI"}.get(record.skin_tone, "tone class 3")
        )
    if record.description == DESCRIPTION:
        words.append(DESCRIPTION[1:] + ".")  # the first letter becomes a capital
    return [word for word in words if word]


def mentions(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", text) is not None or (
        word == "year-old" and word in text
    )


@given(records)
@settings(max_examples=400, deadline=None)
def test_says_all_that_is_known_and_nothing_else(record: Record) -> None:
    text = note(record)
    known = facts(record)
    for word in known:
        assert word in text
    for word in VOCABULARY:
        if mentions(text, word):
            assert any(mentions(fact, word) for fact in known), f"{word!r} is not in the record"
    assert set(re.findall(r"\d[\d.]*\d|\d", text)) <= set(re.findall(r"\d[\d.]*\d|\d", " ".join(known)))


@given(records)
@settings(max_examples=200, deadline=None)
def test_reads_as_sentences(record: Record) -> None:
    text = note(record)
    assert not re.search(r"[{}]|\(\)|  | [.,;]|\.\.|- |None|\bnan\b|unknown", text)
    assert re.fullmatch(r"[A-Z].*\.", text)
    assert all(part[0].isupper() for part in re.split(r"(?<=\.) ", text))
    assert not re.search(r"\b[Aa] (8|11-|18-)|\b[Aa]n [^8aeiou1A-Z]", text)


@given(records)
@settings(deadline=None)
def test_depends_on_the_record_alone(record: Record) -> None:
    again = Record.from_json(record.to_json())
    assert write_notes(record, ["M"]) == write_notes(again, ["M"])


def test_wordings_vary_with_the_key() -> None:
    one = Record("a", "0", "clinical", label=6, malignancy="malignant", site="ear", sex="male")
    texts = {note(replace(one, image_id=str(i))) for i in range(100)}
    assert len(texts) > 8


def test_full_record_has_three_to_five_sentences() -> None:
    record = Record(
        "a", "0", "clinical", label=6, subclass="lentigo maligna", malignancy="malignant", age=60, sex="male",
        site="ear", confirmation="histopathology",
    )  # fmt: skip
    for number in range(30):
        assert len(re.findall(r"\.(?: |$)", note(replace(record, image_id=str(number))))) == 3
        described = replace(record, image_id=str(number), description=DESCRIPTION)
        assert len(re.findall(r"\.(?: |$)", note(described))) == 4
        named = replace(described, native_class="malignant melanoma", matched_subclass="melanoma in situ")
        assert len(re.findall(r"\.(?: |$)", note(named))) == 5


def test_provenance_names_the_wordings() -> None:
    record = Record("a", "0", "clinical", label=6, malignancy="malignant", site="ear")
    written = write_notes(record, ["M"])["M"]
    assert written.strategy == "M"
    assert written.provenance["backend"] == "template"
    assert written.provenance["version"] == STRATEGIES["M"].version
    assert written.provenance["template_hash"] == TEMPLATE_HASH
    names = dict(SENTENCES)
    wordings = []
    for choice in written.provenance["template"].split():
        name, group, number = choice.split(".")
        wordings.append(names[name][int(group)][1][int(number)])
    filled = " ".join(wordings).format(
        **{"class": "melanoma", "malignancy": "malignant", "place": "on the ear"}
    )
    assert filled == written.text
