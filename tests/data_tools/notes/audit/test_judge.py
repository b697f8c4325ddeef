"""A language model as a judge: asked once, its answers used by the audit and by whoever packs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakewriter import FakeBackend, Rule
from PIL import Image
from stray_marks import stray_marks

from data_tools.config import AuditConfig, PackConfig, ShardsConfig, SourceConfig, SplitConfig, WriterConfig
from data_tools.notes import writing
from data_tools.notes.audit.engine import audit_note
from data_tools.notes.audit.findings import refusals
from data_tools.notes.audit.judge import Judgement, check_judgement
from data_tools.notes.audit.judging import judge_notes
from data_tools.notes.audit.recipe import REPORT_NAME, audit_recipe
from data_tools.notes.audit.settings import check_settings
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.store import NoteStore
from data_tools.notes.strategy import Settings, UnusableAnswerError
from data_tools.shards.build import shard
from data_tools.shards.inputs import read_inputs
from mmfm.errors import ConfigError, DataError
from mmfm.records import Note, Record

LESIONS = 8
LESION = Record("d", "1", "clinical", label=6, age=81, sex="female", site="ear", malignancy="malignant")
Recipe = Callable[..., ShardsConfig]
Fake = Callable[[Rule], FakeBackend]


def said(supported: Any = True, contradictions: Any = (), why: Any = "All of it is given.") -> str:
    return json.dumps({"supported": supported, "contradictions": contradictions, "why": why}, default=list)


def strict(request: Request) -> Answer:
    """Finds fault with every note on a woman."""
    if "Sex of the patient: female" not in request.prompt.user:
        return Answer(request.key, said(), "stop", "fake-1")
    return Answer(request.key, said(False, ["female"], "The sex is wrong."), "stop", "fake-1")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """`recipe(...)`: eight lesions with notes M and R, and a judge."""
    (tmp_path / "raw").mkdir()
    rows = ["file,image_id,lesion_id,domain,label,sex,age"]
    for number in range(LESIONS):
        Image.new("RGB", (48, 48), (30 * number, 200 - 20 * number, 90)).save(tmp_path / f"raw/{number}.png")
        sex = "female" if number % 2 else "male"
        rows.append(f"{number}.png,i{number},l{number},clinical,MEL,{sex},{30 + number}")
    (tmp_path / "raw" / "table.csv").write_text("\n".join(rows) + "\n")
    columns = {name: name for name in rows[0].split(",")}

    def recipe(output: str = "shards", **changes: Any) -> ShardsConfig:
        values: dict[str, Any] = {
            "root": str(tmp_path / "raw"),
            "output": str(tmp_path / output),
            "store": str(tmp_path / "store"),
            "sources": [SourceConfig(dataset="d", metadata="table.csv", columns=columns)],
            "notes": ["M", "R"],
            "writers": {"strict": WriterConfig(model="m")},
            "split": SplitConfig(val=0.25, test=0.25),
            "pack": PackConfig(workers=1),
            "audit": AuditConfig(judge="strict"),
        }
        return ShardsConfig(**{**values, **changes})

    return recipe


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """`fake(rule)` puts a `FakeBackend` in the place of all models."""

    def install(rule: Rule) -> FakeBackend:
        backend = FakeBackend(rule)
        monkeypatch.setattr(writing, "backend_of", lambda writer, prepare: backend)
        return backend

    return install


def test_the_judge_is_asked_once_and_found_fault_with(recipe: Recipe, fake: Fake, tmp_path: Path) -> None:
    model, cfg = fake(strict), recipe()
    audit = audit_recipe(cfg, workers=1)
    assert len(model.asked) == LESIONS  # the control is not judged
    assert all(request.image is None and request.prompt.schema for request in model.asked)
    findings = [
        [f for f in note.audit.findings if f.kind == "judge"] for x in audit.lesions for note in x.notes
    ]
    assert sum(map(len, findings)) == LESIONS // 2
    for lesion in audit.lesions:
        note = lesion.notes[0]
        assert note.audit.scores["supported"] == float(lesion.record.sex == "male") and not note.reasons
        for finding in note.audit.findings:
            assert finding.detail == "The sex is wrong."
            assert note.note.text[finding.start : finding.end] == "female"
        assert "supported" not in lesion.notes[1].audit.scores
    card = next(card for card in audit.cards if card.name == "M")
    assert card.all.supported == 0.5 and card.all.findings["judge"].count == LESIONS // 2
    audit.write(tmp_path / "report", "x")
    page = (tmp_path / "report" / REPORT_NAME).read_text()
    assert "The sex is wrong." in page and "mean supported" in page
    audit_recipe(cfg, workers=1)
    assert judge_notes(cfg).there == LESIONS and len(model.asked) == LESIONS
    again = judge_notes(recipe(writers={"strict": WriterConfig(model="another")}))
    assert again.written == LESIONS and len(model.asked) == 2 * LESIONS
    assert len(list(NoteStore(cfg.store).entries())) == 2 * LESIONS


def test_packing_takes_what_is_there_and_asks_nobody(
    recipe: Recipe, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(strict)
    judge_notes(recipe())
    monkeypatch.setattr(writing, "backend_of", None)
    kept = shard(recipe("kept"))
    assert kept.audit["notes"]["M"]["refused"] == 0
    refused = shard(recipe("refused", audit=AuditConfig(judge="strict", refuse=["judge"])))
    assert refused.audit["notes"]["M"]["reasons"] == {"judge": LESIONS // 2}
    off = shard(recipe("off", audit=AuditConfig()))
    assert off.audit["notes"]["M"]["refused"] == 0
    packed = read_inputs(recipe(audit=AuditConfig(enabled=False, judge="strict"))).records
    assert not any(note.audit for record in packed for note in record.notes.values())


def test_failures_are_kept_counted_and_asked_again(
    recipe: Recipe, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    def sulking(request: Request) -> Answer | Failure:
        if "Sex of the patient: female" in request.prompt.user:
            return Answer(request.key, "I would rather not.", "stop", "fake-1")
        return Answer(request.key, said(), "stop", "fake-1")

    fake(sulking)
    summary = judge_notes(recipe())
    assert summary.written == summary.failed["unusable"] == LESIONS // 2
    read_inputs(recipe())
    assert f"lacks {LESIONS // 2} of {LESIONS} judgements by strict" in capsys.readouterr().err
    fake(strict)
    assert judge_notes(recipe()).written == LESIONS // 2
    fake(lambda request: Failure(request.key, "refused", "no"))
    with pytest.raises(DataError, match="no note could be judged: all 8 failed, 8 of them as 'refused'"):
        judge_notes(recipe(writers={"strict": WriterConfig(model="third")}))


def test_what_is_missing_is_said(recipe: Recipe) -> None:
    with pytest.raises(DataError, match=r"lacks 8 of 8 judgements by strict.*audit\.judge=strict"):
        read_inputs(recipe())
    for writers in ({}, {"strict": WriterConfig()}):
        with pytest.raises(ConfigError, match=r"audit\.judge=strict is not one of `writers` with a model"):
            judge_notes(recipe(writers=writers))
    with pytest.raises(ConfigError, match="store"):
        judge_notes(recipe(store=""))
    with pytest.raises(ConfigError, match=r"'judge' needs one: say audit\.judge=WRITER"):
        check_settings(AuditConfig(refuse=["judge"]))


def test_the_prompt_holds_the_note_and_the_facts() -> None:
    drawn = {"class": "melanoma", "finding": ["irregular streaks"]}
    prompt = Judgement(Note("K", "Some  note.", {"facts": drawn})).prompt(LESION, Settings())
    for words in ("- Diagnosis: melanoma", "81 years", "- irregular streaks", "\nSome note.\n"):
        assert words in prompt.user
    bare = Judgement(Note("S2", "Some note.")).prompt(Record("d", "2", "clinical"), Settings())
    assert bare.user.startswith("Nothing is known of this lesion.\n\nThe note")
    assert [
        mark for each in (prompt, bare) for text in (each.system, each.user) for mark in stray_marks(text)
    ] == []
    control = Judgement(Note("R", "Some note.", {"facts": drawn})).prompt(LESION, Settings())
    assert "irregular streaks" not in control.user and control.digest != prompt.digest


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("It is fine.", "no JSON object"),
        ('{"supported": true}', "lacks contradictions, why"),
        ('{"supported": true, "contr', "broken or cut off"),
        (said(supported="perhaps"), "neither true nor false"),
        (said(contradictions=[3]), "contradictions is no text"),
        (said(why=None), "why is no text"),
    ],
)
def test_other_answers_are_unusable(answer: str, reason: str) -> None:
    judgement = Judgement(Note("M", "x"))
    with pytest.raises(UnusableAnswerError, match=reason):
        judgement.read(answer, judgement.prompt(LESION, Settings()))


@pytest.mark.parametrize(
    ("supported", "contradictions", "why", "found"),
    [
        (True, [], "Fine.", None),
        (True, ["a man"], "", ("a man", 13, 18)),
        (False, [], "", ("not supported by the given facts", -1, -1)),
        (False, ["nowhere", "nevus"], "It is no nevus.", ("It is no nevus.", 2, 7)),
    ],
)
def test_an_answer_becomes_a_finding(
    supported: bool, contradictions: Sequence[str], why: str, found: tuple[str, int, int] | None
) -> None:
    judgement = Judgement(Note("L2", ""))
    read = judgement.read(
        f"```json\n{said(supported, contradictions, why)}\n```", judgement.prompt(LESION, Settings())
    )
    note = Note("L2", "A nevus, for a man of 40.", audit={"judge": json.loads(read)})
    findings, scores = check_judgement(note)
    assert [(each.detail, each.start, each.end) for each in findings] == ([found] if found else [])
    assert scores == {"supported": float(found is None)}
    audit = audit_note(LESION, note, AuditConfig())
    assert ("judge" in audit.kinds()) == bool(found) and audit.scores["supported"] == scores["supported"]
    assert "judge" not in refusals(audit, "L2", AuditConfig())
    strict_cfg = AuditConfig(refuse=["judge"], judge="x")
    assert refusals(audit, "L2", strict_cfg) == (["judge"] if found else [])
