"""What the audit of a note yields: findings, each with its place in the text, and scores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from data_tools.config import AuditConfig

VERSION = "1"  # of the rules: another one whenever the same note may get other findings
# Kinds of finding. Contradictions of the diagnosis; attributes that were not given, or given otherwise; form.
CONTRADICTIONS = ("class", "subclass", "malignancy")
ATTRIBUTES = ("age", "sex", "site", "skin_tone", "confirmation", "history")
KINDS = (
    *CONTRADICTIONS,
    *ATTRIBUTES,
    "option",  # outside the closed set of the strategy
    "leak",  # tells the class where it must not
    "length",
    "repetition",
    "near_duplicate",
    "empty",
    "judge",  # a language model that was asked finds it unsupported
)
SHORTFALLS = ("recall", "precision", "similarity")  # reasons for a refusal that are no findings


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a note. `start` and `end` are characters of its text; -1: the note as a whole."""

    kind: str  # one of KINDS
    detail: str  # what is said, and what is known: "says melanoma; the lesion is dermatofibroma"
    start: int = -1
    end: int = -1


@dataclass(frozen=True)
class Audit:
    """Findings on one note, in the order of its text, and its scores.

    Scores: `recall` (share of the given facts that are told), `precision` (share of the statements that are
    supported), `graph` (share of the findings told that the knowledge graph has for the class), each missing
    where there is nothing to count; `facts` and `statements`, what they count;
    `words`; `repetition` (share of repeated word sequences); `near_duplicates` (other notes of the same
    name that are all but the same). With `audit.encoder` those of `audit.similarity`; with `audit.judge`
    `supported`, 1 where the judge finds the note supported, else 0.
    """

    findings: list[Finding] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)

    def kinds(self) -> set[str]:
        """Kinds of the findings."""
        return {finding.kind for finding in self.findings}

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary for `Note.audit`; the inverse of `from_json`."""
        return {"findings": [asdict(finding) for finding in self.findings], "scores": dict(self.scores)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Audit:
        """Rebuild an audit from `to_json`; that of a note that was not audited ({}) is empty."""
        return cls([Finding(**finding) for finding in data.get("findings", [])], dict(data.get("scores", {})))


def kinds_in(stored: dict[str, Any]) -> list[str]:
    """Kinds of the findings of a stored audit, one for each; whichever version stored it."""
    found = stored.get("findings") or []
    return [str(each["kind"]) for each in found if isinstance(each, dict) and "kind" in each]


def is_exempt(name: str, exempt: Collection[str]) -> bool:
    """Whether the note `name` ("R", "L1-medgemma") is one of `exempt`, or of a strategy there."""
    return name in exempt or name.partition("-")[0] in exempt


def refusals(audit: Audit, name: str, cfg: AuditConfig) -> list[str]:
    """Why the note `name` ("L1-medgemma") is not packed, as kinds of finding and `SHORTFALLS`.

    Empty: it is packed. Each reason once, in the order of `KINDS`.
    """
    if not cfg.enabled or is_exempt(name, cfg.exempt):
        return []
    found = audit.kinds()
    reasons = [kind for kind in KINDS if kind in found and kind in cfg.refuse]
    # A note without facts to tell, or without statements, cannot fall short of a share of them.
    if audit.scores.get("recall", 1.0) < cfg.min_recall:
        reasons.append("recall")
    if audit.scores.get("precision", 1.0) < cfg.min_precision:
        reasons.append("precision")
    if cfg.min_similarity and audit.scores.get("similarity", 1.0) < cfg.min_similarity:
        reasons.append("similarity")
    return reasons
