"""Prompts: their wording is frozen, they leave no stray marks, and what must not be told is not told.

After a new version of a template, this file run as a program (with PYTHONPATH=tests/support) writes the
renderings and digests anew; look at the difference before you keep it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stray_marks import stray_marks

from data_tools.config import GraphConfig, ShardsConfig
from data_tools.notes.prompts import FOLDER, listed, render
from data_tools.notes.registry import STRATEGIES, write_notes
from data_tools.notes.strategy import Settings
from data_tools.sources import read_source
from mmfm.config import load
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, MALIGNANCIES, SUBCLASSES

HERE = Path(__file__).parent
RECIPE = HERE.parents[2] / "configs" / "data" / "derm_cpu.yaml"
DIGESTS = HERE / "template_digests.txt"
ASKED = ("L1", "L2", "OL", "S1", "S2", "D1", "D2", "K")
BLIND = ("OL", "S2", "D2")
TOLD = tuple(name for name in ASKED if name not in BLIND)
FULL = Record(
    "site_a", "ISIC_1", "dermoscopic", lesion_id="L1", patient_id="P1", label=6,
    native_class="malignant melanoma of skin", subclass="Hutchinson freckle",
    matched_subclass="lentigo maligna", malignancy="malignant", age=81, sex="female", site="head and neck",
    skin_tone="2", confirmation="histopathology", description="brown macule\nwith  uneven pigment",
)  # fmt: skip
SPARSE = Record("site_a", "ISIC_2", "clinical", malignancy="indeterminate - pre-cancerous", description="-")
SETTINGS = Settings(graph=GraphConfig(findings=3, symptoms=2, risks=2), examples=("A note.", "Another one."))
JUNK = ("", "-", " ", " - ", "\u00a0", "n/a", "unknown", "None")


def shown(name: str, record: Record, given: Settings = SETTINGS) -> str:
    """All of a prompt as one text."""
    prompt = STRATEGIES[name].prompt(record, given)
    schema = json.dumps(prompt.schema, indent=1) if prompt.schema else "no schema"
    parts = (
        prompt.system,
        prompt.user,
        "with the picture" if prompt.image else "without the picture",
        schema,
    )
    return "\n\n----\n\n".join(parts) + "\n"


def renderings() -> dict[str, str]:
    """Every frozen rendering, by the name of its file."""
    records = {"full": FULL, "sparse": SPARSE}
    return {f"{name}.{what}.txt": shown(name, one) for name in ASKED for what, one in records.items()}


def digests() -> dict[str, str]:
    """Digest of each template."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.glob("*.j2"))}


@pytest.mark.parametrize("name", list(renderings()))
def test_renderings_are_frozen(name: str) -> None:
    assert renderings()[name] == (HERE / "renderings" / name).read_text()


def test_a_template_changes_with_its_version_only() -> None:
    frozen = dict(reversed(line.split()) for line in DIGESTS.read_text().splitlines())
    assert digests() == frozen, "a template has changed: give it a new version instead"


def test_templates_are_those_of_the_strategies() -> None:
    parts = [path.name.split(".")[:3] for path in FOLDER.glob("*.j2")]
    names = {f"{name} v{STRATEGIES[name].version} {part}" for name in ASKED for part in ("system", "user")}
    assert names <= {" ".join(part) for part in parts}


def test_a_name_that_a_template_does_not_get_is_an_error() -> None:
    with pytest.raises(Exception, match="'max_words' is undefined"):
        render("D2", "1", "user", {})


texts = st.sampled_from((*JUNK, "ear", "palm or sole", "brown  plaque, about 9 mm"))
records = st.builds(
    Record,
    dataset=st.just("a"),
    image_id=st.integers(0, 10**6).map(str),
    domain=st.just("clinical"),
    label=st.integers(-1, len(CLASSES) - 1),
    native_class=st.sampled_from((*JUNK, "melanoma", "some nevus", "Basal cell carcinoma")),
    subclass=st.sampled_from((*JUNK, *(one.name for one in SUBCLASSES))),
    matched_subclass=st.sampled_from(("", *(one.name for one in SUBCLASSES))),
    malignancy=st.sampled_from((*JUNK, *MALIGNANCIES, "indeterminate - pre-cancerous")),
    age=st.one_of(st.none(), st.integers(1, 100).map(float), st.just(0.5), st.just(float("nan"))),
    sex=st.sampled_from(("", "male", "female")),
    site=texts,
    skin_tone=st.sampled_from((*JUNK, "1", "6", "class 3")),
    confirmation=st.sampled_from((*JUNK, "histopathology", "follow-up")),
    description=texts,
)


@settings(max_examples=400, deadline=None)
@given(record=records, name=st.sampled_from(ASKED), examples=st.booleans())
def test_no_stray_marks(record: Record, name: str, examples: bool) -> None:
    prompt = STRATEGIES[name].prompt(record, SETTINGS if examples else Settings())
    for text in (prompt.system, prompt.user):
        assert list(stray_marks(text)) == [], text


@pytest.mark.realdata
@pytest.mark.parametrize("source", [2, 3])  # MILK10k's clinical pictures, PAD-UFES-20
def test_no_stray_marks_over_real_records(real_data: Path, source: int) -> None:
    config = load(ShardsConfig, RECIPE, [f"root={real_data}", "output=nowhere"])
    found = read_source(config.sources[source], real_data).records
    assert len(found) > 500
    for item in found[:: len(found) // 150]:
        for name in ASKED:
            prompt = STRATEGIES[name].prompt(item.record, Settings())
            assert list(stray_marks(prompt.system)) == list(stray_marks(prompt.user)) == [], prompt.user
        for note in write_notes(item.record, ["M", "K"]).values():
            assert list(stray_marks(note.text)) == [], note.text


@settings(max_examples=100, deadline=None)
@given(record=records, name=st.sampled_from(TOLD))
def test_what_is_known_is_told_once(record: Record, name: str) -> None:
    prompt = STRATEGIES[name].prompt(record, Settings())
    told = re.findall(r"^- [A-Z][a-z -]+: (.*)$", prompt.user.split("Typical of")[0], re.MULTILINE)
    facts = [value for value in prompt.facts.values() if isinstance(value, str)]
    assert len(told) == len(facts)
    for name_, value in prompt.facts.items():
        if isinstance(value, str) and name_ not in ("age", "skin_tone"):
            assert value in told
    names = [prompt.facts.get(key) for key in ("class", "native_class", "subclass", "matched_subclass")]
    known = [set(re.findall(r"\w+", one.lower())) for one in names if one]
    for one, other in itertools.combinations(known, 2):
        assert one != other
    for key, words in (("age", "age"), ("sex", "sex"), ("site", "body site")):
        silent = re.findall(r"neither to be mentioned nor guessed: (.*)\.", prompt.user)
        assert (key in prompt.facts) != any(words in re.split(", | and ", line) for line in silent)


@settings(max_examples=100, deadline=None)
@given(record=records, name=st.sampled_from(BLIND))
def test_blind_prompts_hold_nothing_of_the_record(record: Record, name: str) -> None:
    prompt = STRATEGIES[name].prompt(record, Settings())
    bare = Record(record.dataset, record.image_id, "")  # same key, nothing else
    assert prompt == STRATEGIES[name].prompt(bare, Settings())
    assert prompt.facts == {}
    ways = {STRATEGIES[name].prompt(Record("b", str(n), ""), Settings()).digest for n in range(40)}
    assert prompt.digest in ways
    assert len(ways) == (4 if name == "S2" else 1)


@settings(max_examples=50, deadline=None)
@given(record=records, name=st.sampled_from(ASKED))
def test_a_prompt_depends_on_the_record_alone(record: Record, name: str) -> None:
    again = Record.from_json(record.to_json())
    one, other = (STRATEGIES[name].prompt(each, SETTINGS) for each in (record, again))
    assert one.digest == other.digest


@pytest.mark.parametrize("name", ASKED)
def test_length_is_that_of_the_settings(name: str) -> None:
    prompt = STRATEGIES[name].prompt(FULL, replace(SETTINGS, max_words=37))
    assert "at most 37 words" in f"{prompt.system} {prompt.user}".lower()


def test_listed() -> None:
    assert [listed("a"), listed("ab"), listed("abc", "or")] == ["a", "a and b", "a, b or c"]


if __name__ == "__main__":
    for file, text in renderings().items():
        (HERE / "renderings" / file).write_text(text)
    DIGESTS.write_text("".join(f"{digest} {file}\n" for file, digest in digests().items()))
