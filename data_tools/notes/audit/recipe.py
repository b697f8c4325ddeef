"""The audit of all notes of a recipe, and the files that it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from data_tools.config import ShardsConfig
from data_tools.notes.audit import VERSION, refusals
from data_tools.notes.audit.cards import ScoreCard, score_cards
from data_tools.notes.audit.engine import audit_notes
from data_tools.notes.audit.judging import judge_notes
from data_tools.notes.audit.refused import json_lines, refused_line
from data_tools.notes.audit.report.examples import AuditedLesion, AuditedNote
from data_tools.notes.audit.report.page import write_report
from data_tools.notes.audit.settings import check_settings
from data_tools.shards.inputs import read_inputs
from data_tools.shards.rejects import check_rejects
from mmfm import __version__
from mmfm.files import write_atomically
from mmfm.progress import say

CARDS_NAME = "cards.json"
REFUSED_NAME = "refused.jsonl"
REPORT_NAME = "audit.html"


@dataclass(frozen=True)
class RecipeAudit:
    """The lesions of a recipe with their audited notes, and the score cards."""

    cfg: ShardsConfig
    lesions: list[AuditedLesion]
    cards: list[ScoreCard]

    @property
    def refused(self) -> Iterator[tuple[AuditedLesion, AuditedNote]]:
        """Notes that the recipe refuses, with their lesions."""
        return ((lesion, note) for lesion in self.lesions for note in lesion.notes if note.reasons)

    def write(self, folder: Path, title: str) -> None:
        """Write `cards.json`, `refused.jsonl` and `audit.html` into `folder`."""
        head = {
            "created_by": f"mmfm {__version__}",
            "audit_version": VERSION,
            "settings": asdict(self.cfg.audit),
            "images": len(self.lesions),
        }
        told = {**head, "cards": [card.to_json() for card in self.cards]}
        write_atomically(folder / CARDS_NAME, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        lines = (
            refused_line(lesion.record.key, each.note.strategy, each.note, each.audit, each.reasons)
            for lesion, each in self.refused
        )
        write_atomically(folder / REFUSED_NAME, json_lines(lines))
        write_report(folder / REPORT_NAME, title, self.lesions, self.cards, self.cfg)


def audit_recipe(cfg: ShardsConfig, limit: int = 0, workers: int = 0) -> RecipeAudit:
    """Gather the notes of a recipe and audit them by its settings.

    A judge of the recipe is first asked about the notes that it has not judged. `limit`: most records of each
    source; 0 for all. Raises `DataError` for sources that cannot be read or lost too many rows, and where a
    note was written for no record, `ConfigError` for settings that cannot be used, and as `judge_notes`.
    """
    check_settings(cfg.audit)
    judged = cfg.audit.enabled and cfg.audit.judge
    if judged:
        say(f"{cfg.store}: {judge_notes(cfg, limit)}")
    inputs = read_inputs(cfg, limit)
    if not judged:  # which was told before the judge was asked
        check_rejects(inputs.sources, cfg.max_reject_share)
    samples = inputs.samples
    pairs = [
        (sample.record, replace(note, strategy=name))  # a note goes by its whole name: "L1-medgemma"
        for sample in samples
        for name, note in sample.record.notes.items()
    ]
    audits = audit_notes(pairs, cfg.audit, workers)
    found = iter(zip(pairs, audits, strict=True))
    lesions = []
    for sample in samples:
        lesion = AuditedLesion(sample.record, sample.image)
        for _ in sample.record.notes:
            (_, note), audit = next(found)
            lesion.notes.append(AuditedNote(note, audit, refusals(audit, note.strategy, cfg.audit)))
        lesions.append(lesion)
    return RecipeAudit(cfg, lesions, score_cards(pairs, audits, cfg.audit))
