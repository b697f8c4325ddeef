"""The audit of many notes: each by itself, in parallel, then those of one name among each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from data_tools.config import AuditConfig
from data_tools.notes.audit.coverage import agreement, precision, recall
from data_tools.notes.audit.diagnosis import check_diagnosis
from data_tools.notes.audit.duplicates import NearDuplicates
from data_tools.notes.audit.findings import Audit, Finding
from data_tools.notes.audit.form import check_form, repetition, words_of
from data_tools.notes.audit.judge import check_judgement
from data_tools.notes.audit.leak import check_leak, is_hidden
from data_tools.notes.audit.options import check_options
from data_tools.notes.audit.patient import check_patient
from data_tools.notes.audit.reader import reader
from data_tools.notes.audit.similarity import with_similarity
from data_tools.notes.audit.truth import Truth
from data_tools.workers import cores, each
from mmfm.records import Note, Record

Pair = tuple[Record, Note]
CHUNK = 256  # notes that a process takes at a time
FEW = 3000  # notes up to which starting processes, seconds each, takes longer than it saves


def audit_notes(pairs: Sequence[Pair], cfg: AuditConfig, workers: int = 0) -> list[Audit]:
    """The audit of each note against the record that it is about, in order.

    `workers`: processes; 0 is one per core where there are notes enough, 1 stays in this one. What is found
    does not depend on it, nor, but for near-duplicates, on the other notes.
    """
    audits = [audit for some in audit_chunks(pairs, cfg, workers) for audit in some]
    return with_duplicates(pairs, audits, cfg)


def audit_chunks(pairs: Sequence[Pair], cfg: AuditConfig, workers: int = 0) -> Iterator[list[Audit]]:
    """The audit of each note by itself, some at a time as they come, in order; `workers` as in `audit_notes`.

    `with_duplicates` completes it.
    """
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    count = workers or (1 if len(pairs) <= FEW else cores())
    audited = each(partial(_chunk, cfg=cfg), chunks, f"auditing notes, {CHUNK} at a time", count)
    yield from with_similarity(chunks, audited, cfg.encoder) if cfg.encoder and chunks else audited


def audit_note(record: Record, note: Note, cfg: AuditConfig) -> Audit:
    """The audit of one note by itself: all but near-duplicates."""
    words = words_of(note.text)
    repeated = repetition(words)
    findings = check_form(words, repeated, cfg)
    mentions = reader().read(note.text)
    truth = Truth.of(record, note)
    findings += check_diagnosis(mentions, truth)
    findings += check_patient(mentions, truth)
    findings += check_options(note.strategy.partition("-")[0], note.text, mentions, truth)
    if is_hidden(note.strategy, cfg):
        findings += check_leak(mentions, truth)
    judged, judgement = check_judgement(note)
    findings += judged
    told, given = recall(record, note, mentions, truth)
    supported, statements = precision(mentions, truth)
    known, findings_told = agreement(record, mentions)
    scores = {
        "words": float(len(words)),
        "repetition": repeated,
        "facts": float(given),
        "statements": float(statements),
        **({"recall": told / given} if given else {}),
        **({"graph": known / findings_told} if findings_told else {}),
        **({"precision": supported / statements} if statements else {}),
        **judgement,
    }
    return Audit(sorted(findings, key=lambda finding: finding.start), scores)


def _chunk(pairs: Sequence[Pair], cfg: AuditConfig) -> list[Audit]:
    return [audit_note(record, note, cfg) for record, note in pairs]


def with_duplicates(pairs: Sequence[Pair], audits: list[Audit], cfg: AuditConfig) -> list[Audit]:
    """The audits with the scores and findings that depend on the other notes of the name."""
    result = list(audits)
    numbers: dict[str, list[int]] = {}
    for number, (_, note) in enumerate(pairs):
        numbers.setdefault(note.strategy, []).append(number)
    for members in numbers.values():
        notes = NearDuplicates([words_of(pairs[number][1].text) for number in members])
        limit = cfg.max_near_duplicates
        beyond = notes.beyond(limit) if limit else [False] * len(members)
        for place, number in enumerate(members):
            others = notes.others(place)
            findings = list(audits[number].findings)
            if beyond[place]:
                findings.append(Finding("near_duplicate", f"{limit} notes like it come before"))
            result[number] = Audit(findings, {**audits[number].scores, "near_duplicates": float(others)})
    return result
