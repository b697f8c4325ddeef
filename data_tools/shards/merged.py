"""The manifest of shards made from others, and the lists that lie beside them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_tools.notes.audit.refused import json_lines
from data_tools.shards.origin import Origin
from data_tools.shards.plan import REFUSED_NAME, Plan
from data_tools.shards.reading import read_refused
from data_tools.shards.rejects import COLUMNS
from data_tools.shards.repack import Edit, Selection
from data_tools.shards.summary import split_info
from data_tools.shards.writer import ShardReport
from mmfm.data.index import SPLITS
from mmfm.data.manifest import REJECTS_NAME, Manifest
from mmfm.files import write_atomically
from mmfm.taxonomy import CODES


def finish(output: Path, selection: Selection, plan: Plan, reports: Sequence[ShardReport]) -> Manifest:
    """Write `rejects.csv` and `refused_notes.jsonl` of the origins anew, and return the merged manifest."""
    _write_rejects(output, selection)
    refused = _refused(selection)
    write_atomically(output / REFUSED_NAME, json_lines(refused))
    manifests = [origin.manifest for origin in selection.origins]
    packed = sum((Counter(report.notes) for report in reports), start=Counter[str]())
    notes = _note_names(selection, packed)
    return Manifest(
        created_by=plan.created_by,
        config_hash=plan.config_hash,
        notes=[name for name in notes if packed[name]],
        classes=list(CODES),
        splits={name: split_info(name, reports, output) for name in SPLITS},
        sources=_source_rows(selection),
        split_rule=_common([manifest.split_rule for manifest in manifests]),
        dedup=_common([manifest.dedup for manifest in manifests]),
        config=plan.config,
        audit=_audit(selection, notes, packed, refused),
        origins=[_provenance(selection, number) for number in range(len(selection.origins))],
    )


def _note_names(selection: Selection, packed: Counter[str]) -> list[str]:
    """Names of notes, in the order in which the origins list them."""
    names: dict[str, None] = {}
    for origin, edit in zip(selection.origins, selection.edits, strict=True):
        names.update(dict.fromkeys(edit.kept([*origin.manifest.notes, *_counted(origin)])))
    return [*names, *sorted(packed.keys() - names.keys())]


def _counted(origin: Origin) -> dict[str, dict[str, Any]]:
    return dict(origin.manifest.audit.get("notes", {}))


def _source_rows(selection: Selection) -> list[dict[str, Any]]:
    """The sources of all origins, those of one dataset in a row, with what was taken and what not."""
    taken = Counter((entry.origin, entry.record.dataset) for entry in selection.entries)
    rows: list[dict[str, Any]] = []
    for number, (origin, edit) in enumerate(zip(selection.origins, selection.edits, strict=True)):
        merged: dict[str, dict[str, Any]] = {}
        for source in origin.manifest.sources:
            name = source["dataset"]
            row = merged.setdefault(
                name,
                {"dataset": edit.key(name), "kind": source["kind"], "records": 0, "rejected": 0}
                | {"heldout": True, "left_out": 0},
            )
            for count in ("records", "rejected", "left_out"):
                row[count] += source[count]
            row["heldout"] &= source["heldout"]
        for row in merged.values():
            kept = taken[number, row["dataset"]]
            row["left_out"] += row["records"] - kept
            row["records"] = kept
        rows += merged.values()
    return rows


def _common(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all origins say, where they say the same; else what each says, in their order."""
    if all(part == parts[0] for part in parts):
        return dict(parts[0])
    return {"of_origins": list(parts)}


def _provenance(selection: Selection, number: int) -> dict[str, Any]:
    origin, edit = selection.origins[number], selection.edits[number]
    return {
        "name": origin.name,
        "folder": str(origin.folder),
        "manifest": origin.digest,
        "created_by": origin.manifest.created_by,
        "config_hash": origin.manifest.config_hash,
        "samples": sum(info.samples for info in origin.manifest.splits.values()),
        "taken": sum(entry.origin == number for entry in selection.entries),
        "left_out": dict(selection.left_out[number]),
        "prefix": edit.prefix,
        "config": origin.manifest.config,
        "origins": origin.manifest.origins,
    }


def _audit(
    selection: Selection, names: Sequence[str], packed: Counter[str], refused: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Counts of notes by name, as `data_tools.shards.verdicts` has them; {} where no origin counted any."""
    audits = [origin.manifest.audit for origin in selection.origins]
    if not any(audits):
        return {}
    counts = {}
    for name in names:
        reasons = [line["reasons"] for line in refused if line["note"] == name]
        written = packed[name] + len(reasons)
        tally = Counter(reason for each in reasons for reason in each)
        counts[name] = {
            "written": written,
            "missing": len(selection.entries) - written,
            "refused": len(reasons),
            "reasons": dict(sorted(tally.items(), key=lambda item: (-item[1], item[0]))),
            "left_out": 0,
            "packed": packed[name],
        }
    versions = dict.fromkeys(audit.get("version", "") for audit in audits)
    return {"version": ", ".join(filter(None, versions)), "notes": counts}


def _refused(selection: Selection) -> list[dict[str, Any]]:
    """Refused notes of the samples that were taken, under their new keys."""
    kept: list[set[str]] = [set() for _ in selection.origins]
    for entry in selection.entries:
        kept[entry.origin].add(entry.stored.key)
    found = []
    for origin, edit, keys in zip(selection.origins, selection.edits, kept, strict=True):
        for line in read_refused(origin.folder):
            if line["key"] in keys and edit.kept([line["note"]]):
                found.append({**line, "key": edit.key(line["key"])})
    return found


def _write_rejects(output: Path, selection: Selection) -> None:
    """`rejects.csv`: the rows that the origins list, one after the other."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for origin, edit in zip(selection.origins, selection.edits, strict=True):
        writer.writerows(_rejects(origin, edit))
    write_atomically(output / REJECTS_NAME, text.getvalue())


def _rejects(origin: Origin, edit: Edit) -> Iterator[dict[str, str]]:
    path = origin.folder / REJECTS_NAME
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield {**row, "dataset": edit.key(row["dataset"])}
