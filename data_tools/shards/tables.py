"""The counts of a folder of shards as tables for a terminal."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Column, Table

from data_tools.shards.stats import METADATA, NoteStats, Refusals, SliceStats, Stats, stats
from mmfm.data.index import SPLITS
from mmfm.reports.format import MISSING
from mmfm.taxonomy import CODES, SUBCLASSES

SLICE = "split/dataset/domain"
LINE = 24  # characters of a name before it goes on in the next line: a terminal is narrow
SHORT = {
    "skin_tone": "skin tone",
    "confirmation": "confirmed",
    "description": "described",
    "lesion_id": "lesion",
    "patient_id": "patient",
}


def print_stats(folder: Path, workers: int = 0, as_json: bool = False) -> None:
    """Print what a folder of shards holds, as tables or, for programs, as JSON."""
    counted = stats(folder, workers)
    if as_json:
        print(json.dumps(counted.to_json(), indent=1, ensure_ascii=False))
        return
    console = Console()
    tables = (
        _class_table(counted),
        _subclass_table(counted),
        _metadata_table(counted),
        _license_table(counted),
        _note_table(counted),
        _audit_table(counted),
        _image_table(counted),
    )
    for table in tables:
        if table.row_count:
            console.print(table)
    for split, size in counted.tar_bytes.items():
        samples = sum(part.samples for name, part in counted.slices.items() if name[0] == split)
        console.print(f"{split}: {samples} samples, {size / 1e6:.1f} MB of tars", highlight=False)
    unreadable = sum(part.unreadable for part in counted.slices.values())
    if unreadable:
        hint = f"run `mmfm data verify {folder}`"
        console.print(f"{unreadable} samples cannot be read: {hint}", highlight=False)


def _class_table(counted: Stats) -> Table:
    table = _table("Samples", SLICE, "samples")
    table.add_column("classes")
    for name, part in counted.slices.items():
        classes = [f"{code or 'unknown'} {part.labels[code]}" for code in (*CODES, "") if part.labels[code]]
        table.add_row(_spread("/".join(name)), str(part.samples), ", ".join(classes))
    return table


def _subclass_table(counted: Stats) -> Table:
    """Subclasses of the taxonomy by split; nothing where no record has one."""
    table = _table("Subclasses", "subclass", *SPLITS)
    by_split: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for (split, _, _), part in counted.slices.items():
        by_split[split].update(part.subclasses)
    names = [subclass.name for subclass in SUBCLASSES]
    others = sorted({name for split in by_split.values() for name in split} - {*names, ""})
    rows = [name for name in (*names, *others) if any(by_split[split][name] for split in SPLITS)]
    for name in [*rows, ""] if rows else []:
        table.add_row(name or "none known", *(str(by_split[split][name]) for split in SPLITS))
    return table


def _metadata_table(counted: Stats) -> Table:
    """Share of the records that tell each field, by dataset."""
    table = _table("Metadata: share of records that tell it", "dataset")
    table.add_column("fields")
    by_set: dict[str, SliceStats] = {}
    for (_, dataset, _), part in counted.slices.items():
        by_set.setdefault(dataset, SliceStats()).add(part)
    for dataset, part in by_set.items():
        read = part.samples - part.unreadable
        shares = {SHORT.get(name, name): _share(part.known[name], read) for name in METADATA}
        told = [f"{name} {share}" for name, share in shares.items()]
        table.add_row(dataset, f"{', '.join(told[:4])},\n{', '.join(told[4:])}")
    return table


def _license_table(counted: Stats) -> Table:
    table = _table("Licences", "licence", "samples", "datasets")
    samples: Counter[str] = Counter()
    datasets: dict[str, dict[str, None]] = {}
    for (_, dataset, _), part in counted.slices.items():
        samples.update(part.licenses)
        for name in part.licenses:
            datasets.setdefault(name, {})[dataset] = None
    for name, number in samples.most_common():
        table.add_row(name or "not told", str(number), ", ".join(datasets[name]))
    return table


def _note_table(counted: Stats) -> Table:
    table = _table("Notes", SLICE, "note", "notes", "words", "median", "with findings")
    for name, part in counted.slices.items():
        for note, of_name in sorted(part.notes.items()):
            middle = f"{median(of_name.words.elements()):g}"
            flagged = f"{of_name.flagged}" if of_name.audited else "not audited"
            lengths = (f"{min(of_name.words)}-{max(of_name.words)}", middle)
            table.add_row(_spread("/".join(name)), note, str(of_name.notes), *lengths, flagged)
    return table


def _audit_table(counted: Stats) -> Table:
    """What the audit says of the notes of each name, packed and refused; nothing where none was audited."""
    table = _table("Audit", "note", "packed", "recall", "precision")
    table.add_column("findings of packed notes")
    table.add_column("refused", justify="right")
    table.add_column("for")
    packed = counted.whole.notes
    for name in sorted(packed.keys() | counted.refused.keys()):
        notes, refused = packed.get(name, NoteStats()), counted.refused.get(name, Refusals())
        if notes.audited or refused.notes:
            scores = [_score(notes.mean(score)) for score in ("recall", "precision")]
            found, reasons = _listing(notes.findings), _listing(refused.reasons)
            table.add_row(name, str(notes.notes), *scores, found, str(refused.notes), reasons)
    return table


def _image_table(counted: Stats) -> Table:
    table = _table("Images", SLICE, "smallest", "commonest", "largest", "sizes", "kB each")
    for name, part in counted.slices.items():
        if part.sizes:
            shown = (f"{width}x{height}" for width, height in _typical(part))
            kilobytes = f"{part.image_bytes / part.samples / 1e3:.1f}"
            table.add_row(_spread("/".join(name)), *shown, str(len(part.sizes)), kilobytes)
    return table


def _typical(part: SliceStats) -> tuple[tuple[int, int], ...]:
    """Width and height of the smallest, the commonest and the largest image."""
    smallest, largest = (pick(part.sizes, key=_area) for pick in (min, max))
    return smallest, part.sizes.most_common(1)[0][0], largest


def _table(title: str, first: str, *columns: str) -> Table:
    first_column = Column(_spread(first), overflow="fold", min_width=LINE if first == SLICE else None)
    table = Table(first_column, title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _spread(name: str) -> str:
    """A name of several parts, over as many lines as it needs, broken behind a "/" only."""
    lines = [""]
    for part in re.findall(r"[^/]*/?", name):
        if lines[-1] and len(lines[-1]) + len(part) > LINE:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    """A share in percent that is 0% or 100% only where it is exactly that."""
    if not whole or part in (0, whole):
        return f"{100 * (part > 0)}%"
    return f"{min(99, max(1, round(100 * part / whole)))}%"


def _score(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def _listing(counts: Counter[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.most_common()) or MISSING


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
