"""What the audit says of every note, and so which are packed and which are kept beside the shards.

The verdicts belong to a plan, as the deal does: they are settled once, for a run that goes on after an
interruption and for all who share the writing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.config import ShardsConfig
from data_tools.notes.audit import VERSION, Audit, audit_notes, refusals
from data_tools.notes.audit.refused import json_lines, refused_line
from data_tools.shards.inputs import Inputs
from data_tools.shards.plan import PARTS, REFUSED_NAME, VERDICTS_NAME, Sample
from data_tools.shards.writer import ShardReport
from mmfm.files import write_atomically
from mmfm.records import Note


@dataclass(frozen=True)
class Verdict:
    """The audit of one note, as it is stored with it, and why it is not packed ([]: it is)."""

    audit: dict[str, Any]
    reasons: list[str]


Verdicts = list[dict[str, Verdict]]  # for each sample, by the name of the note


def judge(cfg: ShardsConfig, inputs: Inputs) -> Verdicts:
    """The verdicts on the notes of all samples; a pure function of them and of `cfg.audit`.

    Where the audit is switched off there are none, and all notes are packed.
    """
    if not cfg.audit.enabled:
        return [{} for _ in inputs.samples]
    pairs = [
        (sample.record, replace(note, strategy=name))  # a note goes by its whole name: "L1-medgemma"
        for sample in inputs.samples
        for name, note in sample.record.notes.items()
    ]
    audits = iter(audit_notes(pairs, cfg.audit, cfg.pack.workers))
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
        lines = (output / PARTS / VERDICTS_NAME).read_text(encoding="utf-8").splitlines()
        verdicts = [{name: Verdict(**values) for name, values in json.loads(line).items()} for line in lines]
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return verdicts if len(verdicts) == len(inputs.samples) else None


def write_verdicts(output: Path, verdicts: Verdicts) -> None:
    """Keep the verdicts for the plan that has `output`."""
    lines = ({name: asdict(verdict) for name, verdict in of_sample.items()} for of_sample in verdicts)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(output / PARTS / VERDICTS_NAME, text)


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
