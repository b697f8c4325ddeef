"""What the audit says of every note, and so which are packed and which are kept beside the shards.

The verdicts belong to a plan, as the deal does: they are settled once, for a run that goes on after an
interruption and for all who share the writing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.config import ShardsConfig
from data_tools.notes.audit import VERSION, Audit, refusals
from data_tools.notes.audit.engine import audit_chunks, with_duplicates
from data_tools.notes.audit.refused import json_lines, refused_line
from data_tools.shards.inputs import Inputs
from data_tools.shards.plan import AUDITS_NAME, PARTS, REFUSED_NAME, VERDICTS_NAME, Sample
from data_tools.shards.writer import ShardReport
from mmfm.files import write_atomically
from mmfm.records import Note, Record


@dataclass(frozen=True)
class Verdict:
    """The audit of one note, as it is stored with it, and why it is not packed ([]: it is)."""

    audit: dict[str, Any]
    reasons: list[str]


Verdicts = list[dict[str, Verdict]]  # for each sample, by the name of the note


def settle_verdicts(cfg: ShardsConfig, inputs: Inputs) -> Verdicts:
    """The verdicts for the plan that has `cfg.output`: as an earlier run found them, or found now."""
    parts = Path(cfg.output) / PARTS
    verdicts = read_verdicts(Path(cfg.output), inputs)
    if verdicts is None:
        verdicts = judge(cfg, inputs, parts / AUDITS_NAME)
        write_atomically(parts / VERDICTS_NAME, _lines(verdicts))
        (parts / AUDITS_NAME).unlink(missing_ok=True)
    return verdicts


def judge(cfg: ShardsConfig, inputs: Inputs, journal: Path) -> Verdicts:
    """The verdicts on the notes of all samples; a pure function of them and of `cfg.audit`.

    Where the audit is switched off there are none, and all notes are packed. `journal`: a file that an
    interrupted audit of these notes goes on from.
    """
    if not cfg.audit.enabled:
        return [{} for _ in inputs.samples]
    pairs = [
        (sample.record, replace(note, strategy=name))  # a note goes by its whole name: "L1-medgemma"
        for sample in inputs.samples
        for name, note in sample.record.notes.items()
    ]
    audits = iter(_audit(pairs, cfg, journal))
    return [
        {name: verdict_of(next(audits), name, cfg) for name in sample.record.notes}
        for sample in inputs.samples
    ]


def verdict_of(audit: Audit, name: str, cfg: ShardsConfig) -> Verdict:
    """The verdict on the note `name` with this audit."""
    return Verdict({"version": VERSION, **audit.to_json()}, refusals(audit, name, cfg.audit))


def read_verdicts(output: Path, inputs: Inputs) -> Verdicts | None:
    """The verdicts settled for the plan in `output`; None before that."""
    try:
        lines = (output / PARTS / VERDICTS_NAME).read_bytes().splitlines()
        verdicts = [{name: Verdict(**values) for name, values in json.loads(line).items()} for line in lines]
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return verdicts if len(verdicts) == len(inputs.samples) else None


def packed(inputs: Inputs, verdicts: Verdicts) -> Inputs:
    """The inputs with the audit in every note, and without the notes that were refused.

    A sample keeps its place when all its notes are refused: its image and class are of use without them.
    """
    pairs = zip(inputs.samples, verdicts, strict=True)
    return replace(inputs, samples=[_packed(sample, of_sample) for sample, of_sample in pairs])


def write_refused(output: Path, inputs: Inputs, verdicts: Verdicts) -> None:
    """Write the refused notes whole, a JSON line for each, in the order of the samples."""
    lines = (
        refused_line(sample.record.key, name, note, Audit.from_json(verdict.audit), verdict.reasons)
        for sample, name, note, verdict in _refused(inputs, verdicts)
    )
    write_atomically(output / REFUSED_NAME, json_lines(lines))


def note_counts(
    cfg: ShardsConfig, inputs: Inputs, verdicts: Verdicts, reports: Sequence[ShardReport]
) -> dict[str, Any]:
    """What became of the notes, by name: how many were written, refused for which reasons, packed.

    `missing`: samples for which nobody wrote one. `left_out`: sound notes of samples that are in no shard. A
    note with several reasons is counted for each of them.
    """
    packed = sum((Counter(report.notes) for report in reports), start=Counter[str]())
    written = Counter(name for sample in inputs.samples for name in sample.record.notes)
    reasons: dict[str, Counter[str]] = {name: Counter() for name in cfg.notes}
    refused: Counter[str] = Counter()
    for _, name, _, verdict in _refused(inputs, verdicts):
        refused[name] += 1
        reasons[name].update(verdict.reasons)
    return {
        name: {
            "written": written[name],
            "missing": len(inputs.samples) - written[name],
            "refused": refused[name],
            "reasons": dict(sorted(reasons[name].items(), key=lambda item: (-item[1], item[0]))),
            "left_out": written[name] - refused[name] - packed[name],
            "packed": packed[name],
        }
        for name in cfg.notes
    }


def _audit(pairs: Sequence[tuple[Record, Note]], cfg: ShardsConfig, journal: Path) -> list[Audit]:
    """`audit_notes`, with what is done kept in `journal` as it comes."""
    audits = _read_journal(journal)
    with journal.open("a", encoding="utf-8") as file:
        for some in audit_chunks(pairs[len(audits) :], cfg.audit, cfg.pack.workers):
            audits += some
            file.write("".join(json.dumps(audit.to_json()) + "\n" for audit in some))
            file.flush()
    return with_duplicates(pairs, audits, cfg.audit)


def _read_journal(journal: Path) -> list[Audit]:
    """Audits in a journal, up to the first line that a kill has left without its end; the rest is cut off."""
    if not journal.is_file():
        return []
    audits: list[Audit] = []
    whole = 0  # bytes
    for line in journal.read_bytes().splitlines(keepends=True):
        try:
            audit = Audit.from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError):
            break
        if not line.endswith(b"\n"):
            break
        audits.append(audit)
        whole += len(line)
    os.truncate(journal, whole)
    return audits


def _lines(verdicts: Verdicts) -> str:
    plain = ({name: asdict(verdict) for name, verdict in of_sample.items()} for of_sample in verdicts)
    return "".join(json.dumps(line) + "\n" for line in plain)


def _packed(sample: Sample, verdicts: dict[str, Verdict]) -> Sample:
    notes = {
        name: replace(note, audit=verdicts[name].audit) if name in verdicts else note
        for name, note in sample.record.notes.items()
        if name not in verdicts or not verdicts[name].reasons
    }
    return replace(sample, record=replace(sample.record, notes=notes))


def _refused(inputs: Inputs, verdicts: Verdicts) -> Iterator[tuple[Sample, str, Note, Verdict]]:
    for sample, of_sample in zip(inputs.samples, verdicts, strict=True):
        for name, verdict in of_sample.items():
            if verdict.reasons:
                yield sample, name, sample.record.notes[name], verdict
