"""Applying patches to the records of a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from data_tools.patches.patch import ANY, PATCHED, Patch
from mmfm.records import Record
from mmfm.taxonomy import CODES, UNKNOWN_LABEL

if TYPE_CHECKING:
    from data_tools.sources.base import SourceResult


def apply_patches(records: Sequence[Record], patches: Sequence[Patch]) -> dict[str, Counter[str]]:
    """Correct `records` in place; for each patch of a data set that is there, the rows it met by data set.

    Patches go in their order, each over what the ones before it left. A corrected record names them in
    `extras["patched"]`.
    """
    by_name: dict[str, list[Record]] = {}
    counts: dict[str, Counter[str]] = {}
    for record in records:
        by_name.setdefault(record.dataset, []).append(record)
    for patch in patches:
        names = {_name(dataset) for dataset in patch.datasets}
        there = [dataset for dataset in by_name if ANY in names or _name(dataset) in names]
        met = [record for dataset in there for record in by_name[dataset] if _meets(record, patch)]
        for record in met:
            for name, value in patch.values.items():
                setattr(record, name, value)
            record.extras[PATCHED] = [*record.extras.get(PATCHED, []), patch.name]
        if there:
            counts[patch.name] = Counter(record.dataset for record in met)
    return counts


def told_patches(results: Iterable[SourceResult], patches: Sequence[Patch]) -> Iterator[str]:
    """A line for each patch: how many rows it met in all sources together, and in which data sets.

    One that met none is told only where its data set was read whole: else its rows are those of another part.
    """
    results = list(results)
    for patch in patches:
        counts: Counter[str] = Counter()
        for result in results:
            counts.update(result.patched.get(patch.name, {}))
        if counts:
            rows = ", ".join(f"{dataset} {count}" for dataset, count in counts.items())
            yield f"patch {patch.name} (version {patch.version}): {counts.total()} rows ({rows})"
        elif any(patch.name in result.patched and result.whole for result in results):
            yield f"patch {patch.name} (version {patch.version}): no rows"


def _name(dataset: str) -> str:
    """The name of a data set, however it is written: "PAD_UFES_20" is "pad-ufes20"."""
    return "".join(letter for letter in dataset.lower() if letter.isalnum())


def _meets(record: Record, patch: Patch) -> bool:
    if patch.ids and record.image_id not in patch.ids:
        return False
    return all(_value(record, name) == value or fnmatchcase(_value(record, name), value)
               for name, value in patch.match.items())  # fmt: skip


def _value(record: Record, name: str) -> str:
    """What a pattern is compared with: the label is its code."""
    if name == "label":
        return CODES[record.label] if record.label != UNKNOWN_LABEL else ""
    if name == "reference_label":
        return str(record.extras.get(name, ""))
    return str(getattr(record, name))
