"""Score cards: what the audit says of all notes of one name, over all and within each subgroup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from data_tools.config import AuditConfig
from data_tools.notes.audit.findings import KINDS, Audit, refusals
from data_tools.notes.audit.form import distinct, self_similarity, words_of
from data_tools.notes.audit.sites import region_of
from mmfm.records import Note, Record

BY = ("all", "class", "dataset", "sex", "age", "skin_tone", "site")  # what notes are grouped by
OPTIONAL = ("similarity", "bert_recall", "bert_precision", "bert_f1", "supported")  # scores, if asked for
UNKNOWN = "unknown"
AGE_BANDS = (20, 40, 60, 80)  # years at which a band begins


@dataclass(frozen=True)
class Share:
    """`count` of `total` with the ends of its 95% Wilson score interval."""

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Share:
        """The share of `count` in `total`, which is at least 1."""
        from scipy.stats import binomtest  # here: it takes seconds to load

        interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
        return cls(count, total, count / total, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Group:
    """The notes of one name on the lesions of one subgroup."""

    by: str  # one of BY
    value: str  # "melanoma", "female", "40-59", "head and neck"; "all" for by="all"
    notes: int
    refused: Share
    reasons: dict[str, int]  # why they were refused -> notes; a note may have several
    findings: dict[str, Share]  # kind -> share of notes with it; kinds that no note has are left out
    recall: float | None  # mean share of the given facts that are told
    precision: float | None  # mean share of the statements that are supported
    words: float  # mean length
    repetition: float  # mean share of repeated word sequences
    distinct_2: float  # different pairs of neighbouring words among all of them
    near_duplicates: Share  # notes that are all but the same as another one of this name
    self_similarity: float = 0.0  # mean share of words that two of the notes have in common
    graph: float | None = None  # mean share of the findings told that the knowledge graph has for the class
    # Means of what `audit.similarity` computes, and the share that the judge supports; None without them.
    similarity: float | None = None
    bert_recall: float | None = None
    bert_precision: float | None = None
    bert_f1: float | None = None
    supported: float | None = None


@dataclass(frozen=True)
class ScoreCard:
    """One note name ("L1-medgemma"): its subgroups, the first one being all its notes."""

    name: str
    strategy: str
    writer: str  # "" where the name has none
    models: dict[str, int]  # model or backend that wrote them, as their provenance says -> notes
    groups: list[Group] = field(default_factory=list)

    @property
    def all(self) -> Group:
        """All notes of the name."""
        return self.groups[0]

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; the inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScoreCard:
        """Rebuild a card from `to_json`. Raises `TypeError` on unknown or missing fields."""
        return cls(**{**data, "groups": [_group_from(group) for group in data["groups"]]})


@dataclass(frozen=True)
class Audited:
    """A note with its lesion and what was found."""

    record: Record
    note: Note
    audit: Audit


def score_cards(
    pairs: Sequence[tuple[Record, Note]], audits: Sequence[Audit], cfg: AuditConfig
) -> list[ScoreCard]:
    """One card for each note name, in the order in which names come first; `audits` are those of `pairs`."""
    by_name: dict[str, list[Audited]] = {}
    for (record, note), audit in zip(pairs, audits, strict=True):
        by_name.setdefault(note.strategy, []).append(Audited(record, note, audit))
    return [_card(name, notes, cfg) for name, notes in by_name.items()]


def subgroup(record: Record, by: str) -> str:
    """The subgroup of a record: `by` is one of `BY`; "unknown" where the record does not tell."""
    match by:
        case "all":
            return "all"
        case "class":
            return record.class_name or UNKNOWN
        case "age":
            return _age_band(record.age)
        case "site":
            return region_of(record.site) or record.site or UNKNOWN
        case _:
            return getattr(record, by) or UNKNOWN


def _card(name: str, notes: list[Audited], cfg: AuditConfig) -> ScoreCard:
    strategy, _, writer = name.partition("-")
    models = Counter(
        str(each.note.provenance.get("model") or each.note.provenance.get("backend") or UNKNOWN)
        for each in notes
    )
    groups = [group for by in BY for group in _groups(by, notes, cfg)]
    return ScoreCard(name, strategy, writer, dict(models.most_common()), groups)


def _groups(by: str, notes: list[Audited], cfg: AuditConfig) -> Iterator[Group]:
    """Groups in the order of their names, the unknown last."""
    members: dict[str, list[Audited]] = {}
    for each in notes:
        members.setdefault(subgroup(each.record, by), []).append(each)
    for value in sorted(members, key=lambda value: (value == UNKNOWN, value)):
        yield _group(by, value, members[value], cfg)


def _group(by: str, value: str, notes: list[Audited], cfg: AuditConfig) -> Group:
    total = len(notes)
    reasons = [refusals(each.audit, each.note.strategy, cfg) for each in notes]
    kinds = Counter(kind for each in notes for kind in each.audit.kinds())
    words = [words_of(each.note.text) for each in notes]
    return Group(
        by=by,
        value=value,
        notes=total,
        refused=Share.of(sum(map(bool, reasons)), total),
        reasons=dict(Counter(reason for several in reasons for reason in several).most_common()),
        findings={kind: Share.of(kinds[kind], total) for kind in KINDS if kinds[kind]},
        recall=_mean(notes, "recall"),
        precision=_mean(notes, "precision"),
        words=_mean(notes, "words") or 0.0,
        repetition=_mean(notes, "repetition") or 0.0,
        distinct_2=distinct(words),
        near_duplicates=Share.of(
            sum(each.audit.scores.get("near_duplicates", 0) > 0 for each in notes), total
        ),
        self_similarity=self_similarity(words),
        graph=_mean(notes, "graph"),
        **{score: _mean(notes, score) for score in OPTIONAL},
    )


def _mean(notes: list[Audited], score: str) -> float | None:
    values = [each.audit.scores[score] for each in notes if score in each.audit.scores]
    return fmean(values) if values else None


def _age_band(age: float | None) -> str:
    if age is None:
        return UNKNOWN
    starts = (0, *AGE_BANDS)
    start = max(start for start in starts if start <= age)
    later = [other for other in AGE_BANDS if other > start]
    return f"{start}-{later[0] - 1}" if later else f"{start}+"


def _group_from(data: dict[str, Any]) -> Group:
    return Group(
        **{
            **data,
            "refused": Share(**data["refused"]),
            "near_duplicates": Share(**data["near_duplicates"]),
            "findings": {kind: Share(**share) for kind, share in data["findings"].items()},
        }
    )
