"""Which samples of several folders go into one: filters, equal keys, lesions on two sides, shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

from data_tools.groupids import GroupId, group_ids
from data_tools.shards.origin import Entry
from data_tools.shards.repack import Selection
from data_tools.shards.summary import code_of
from data_tools.splits import group_records
from mmfm.data.index import SPLITS
from mmfm.errors import ConfigError, DataError
from mmfm.progress import say
from mmfm.taxonomy import CODES, UNKNOWN_LABEL, label_of

FILTERS = (
    "label",
    "dataset",
    "domain",
    "subclass",
    "matched_subclass",
    "malignancy",
    "sex",
    "site",
    "skin_tone",
    "confirmation",
    "license",
)
UNKNOWN = "unknown"  # in a filter: what a record does not tell
LISTED = 10  # most samples that an error lists
RANK = {split: rank for rank, split in enumerate(("train", "val", "test"))}  # test holds out the most


def keep_where(selection: Selection, where: Mapping[str, Sequence[str]]) -> None:
    """Leave out samples whose record has none of the wanted values, for every field of `where`.

    A value that no sample has is said. Raises `ConfigError` for a field that is no filter and for an unknown
    class, `DataError` where a field has none of its wanted values in any record.
    """
    for field, values in where.items():
        wanted = _wanted(field, values)
        there = {getattr(entry.record, field) for entry in selection.entries}
        idle = [value for value in values if not _wanted(field, [value]) & there]
        kept = {id(entry) for entry in selection.entries if getattr(entry.record, field) in wanted}
        if not kept:
            raise DataError(
                f"no sample has {field}={','.join(values)}. There are: {_there(selection, field)}"
            )
        if idle:
            say(f"no sample has {field}={','.join(idle)}")
        selection.drop([entry for entry in selection.entries if id(entry) not in kept], "filter")


def _wanted(field: str, values: Sequence[str]) -> set[object]:
    if field not in FILTERS:
        raise ConfigError(f"samples cannot be chosen by {field!r}: one of {', '.join(FILTERS)}")
    if field != "label":
        return {"" if value == UNKNOWN else value for value in values}
    try:
        return {UNKNOWN_LABEL if value == UNKNOWN else label_of(value) for value in values}
    except KeyError as error:
        raise ConfigError(
            f"unknown class {error.args[0]!r}: one of {', '.join(CODES)}, or its name"
        ) from error


def _there(selection: Selection, field: str) -> str:
    values = {getattr(entry.record, field) for entry in selection.entries}
    if field == "label":
        return ", ".join(dict.fromkeys(code_of(label) or UNKNOWN for label in sorted(values)))
    return ", ".join(sorted(value or UNKNOWN for value in values))


def settle_clashes(selection: Selection, how: str) -> None:
    """See to it that keys are unique.

    `how`: "error" raises `DataError` that names the first clashing samples; "first" keeps the sample of the
    first folder; "prefix" puts the name of every later folder that clashes before its datasets, and raises
    `DataError` where two samples of a key are one picture. Lesions and patients keep their ids: those that
    number a dataset go with it, and the others are the same in every folder, also where an image is not.
    """
    first: dict[str, Entry] = {}
    clashes = []
    for entry in selection.entries:
        other = first.setdefault(entry.stored.key, entry)
        if other is not entry:
            clashes.append((other, entry))
    if not clashes:
        return
    if how == "first":
        selection.drop([entry for _, entry in clashes], "same key")
    elif how == "error":
        raise DataError(
            f"{_clash_list(selection, clashes)}. If they are the same samples, keep those of the first "
            "folder with --on-clash first; if only their names are equal, rename them with --on-clash prefix"
        )
    else:
        _rename(selection, clashes)


def _rename(selection: Selection, clashes: list[tuple[Entry, Entry]]) -> None:
    same = [pair for pair in clashes if pair[0].picture == pair[1].picture]
    if same:
        raise DataError(
            f"{_clash_list(selection, same)}, and they are the same pictures: another name would double "
            "them. Keep those of the first folder with --on-clash first"
        )
    for number in {entry.origin for _, entry in clashes}:
        name = selection.origins[number].name
        selection.edits[number] = selection.edits[number].renamed(name)
    for entry in selection.entries:
        entry.record = selection.edits[entry.origin].named(entry.record)
    keys = {selection.edits[entry.origin].key(entry.stored.key) for entry in selection.entries}
    if len(keys) < len(selection.entries):
        raise DataError(
            "keys clash under the new names as well: name the folders otherwise, as in first=FOLDER"
        )


def _clash_list(selection: Selection, clashes: list[tuple[Entry, Entry]]) -> str:
    named = [
        f"{other.stored.key} ({selection.origins[other.origin].name}, {selection.origins[entry.origin].name})"
        for other, entry in clashes[:LISTED]
    ]
    more = f" and {len(clashes) - LISTED} more" if len(clashes) > LISTED else ""
    return f"{len(clashes)} keys are in two folders: {', '.join(named)}{more}"


def settle_conflicts(selection: Selection, drop: bool) -> None:
    """See to it that no lesion, patient or picture (equal bytes) is on two sides of the split.

    Samples are joined over all folders as `data_tools.splits` joins them. Where a group has several sides,
    `drop` keeps those of its samples that are held out the most (test, then val); without it `DataError`
    lists them.
    """
    entries = selection.entries
    groups = group_records([entry.record for entry in entries], _same_pictures(entries))
    members: dict[int, list[Entry]] = {}
    for entry, group in zip(entries, groups, strict=True):
        members.setdefault(int(group), []).append(entry)
    torn = [group for group in members.values() if len({entry.split for entry in group}) > 1]
    if not torn:
        return
    if not drop:
        raise DataError(_conflict_list(selection, torn))
    for group in torn:
        side = max(RANK[entry.split] for entry in group)
        group[:] = [entry for entry in group if RANK[entry.split] < side]
    selection.drop([entry for group in torn for entry in group], "conflict")


def tell_doubles(selection: Selection) -> None:
    """Say how many pictures are in several folders under several keys: they are kept, and count as often."""
    origins: dict[tuple[int, int], set[int]] = {}
    for entry in selection.entries:
        origins.setdefault(entry.picture, set()).add(entry.origin)
    doubles = sum(len(numbers) > 1 for numbers in origins.values())
    if doubles:
        say(f"{doubles} pictures are in several folders under other keys; all are kept")


def _same_pictures(entries: Sequence[Entry]) -> list[tuple[int, int, int]]:
    first: dict[tuple[int, int], int] = {}
    pairs = [(first.setdefault(entry.picture, number), number, 0) for number, entry in enumerate(entries)]
    return [(one, other, 0) for one, other, _ in pairs if one != other]


def _conflict_list(selection: Selection, torn: Sequence[Sequence[Entry]]) -> str:
    lines = [f"  {_conflict(selection, group)}" for group in torn[:LISTED]]
    if len(torn) > LISTED:
        lines.append(f"  and {len(torn) - LISTED} more")
    return "\n".join(
        [
            f"{len(torn)} groups of one lesion, patient or picture are on two sides of the split:",
            *lines,
            "Leave out those that are not on the most held-out side (test, then val) with --drop-conflicts",
        ]
    )


def _conflict(selection: Selection, group: Sequence[Entry]) -> str:
    """A group in words: what its samples share, and one sample on each side."""
    sides = {entry.split: entry for entry in reversed(group)}
    shown = [
        f"{entry.stored.key} is {split} in {selection.origins[entry.origin].name}"
        for split, entry in sorted(sides.items(), key=lambda side: SPLITS.index(side[0]))
    ]
    return f"{_shared(group)}: {', '.join(shown)}"


def _shared(group: Sequence[Entry]) -> str:
    sides: dict[GroupId, set[str]] = {}
    for entry in group:
        for shared in group_ids(entry.record):
            sides.setdefault(shared, set()).add(entry.split)
    torn = [shared for shared, splits in sides.items() if len(splits) > 1]
    if torn:
        return str(min(torn, key=lambda shared: shared.kind))  # a lesion says more than its patient
    return "one picture" if len({entry.picture for entry in group}) == 1 else "joined by way of others"


def thin(
    selection: Selection,
    splits: Sequence[str],
    weights: Mapping[str, Fraction],
    take: Mapping[str, int],
    seed: int,
) -> None:
    """Leave out samples of `splits`, in each split on its own, until what is left has the wanted shares.

    `weights` by name of folder: as many samples as there can be in these proportions; `take`: at most so
    many. Which ones stay is told by a hash of `seed` and their keys, so that a smaller share is part of a
    larger one. Raises `ConfigError` for names that are no folder's or no split's, and for a weight that is
    missing.
    """
    names = [origin.name for origin in selection.origins]
    check_splits(splits)
    _check_names(names, weights, take)
    for split in splits:
        pools: list[list[Entry]] = [[] for _ in names]
        for entry in selection.entries:
            if entry.split == split:
                pools[entry.origin].append(entry)
        there = {name: len(pool) for name, pool in zip(names, pools, strict=True)}
        wanted = shares(there, weights) if weights else {**there, **take}
        for name, pool in zip(names, pools, strict=True):
            pool.sort(key=lambda entry: _order(seed, entry.stored.key))
            selection.drop(pool[wanted[name] :], "share")


def shares(there: Mapping[str, int], weights: Mapping[str, Fraction]) -> dict[str, int]:
    """How many of each can be taken in proportion to `weights`, from what is `there`.

    A folder that has none does not count; one that has some gives at least one.
    """
    filled = [name for name, samples in there.items() if samples]
    scale = min((there[name] / weights[name] for name in filled), default=Fraction(0))
    return {name: min(there[name], max(1, int(scale * weights[name]))) for name in there}


def _check_names(names: Sequence[str], weights: Mapping[str, Fraction], take: Mapping[str, int]) -> None:
    unknown = sorted({*weights, *take} - set(names))
    if unknown:
        raise ConfigError(f"there is no folder {unknown[0]!r}: {', '.join(names)}")
    missing = [name for name in names if name not in weights]
    if weights and missing:
        raise ConfigError(f"--weights has no weight for {missing[0]}: name all of {', '.join(names)}")


def check_splits(splits: Sequence[str]) -> None:
    """Raises `ConfigError` for a name that is no split's."""
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise ConfigError(f"there is no split {unknown[0]!r}: one of {', '.join(SPLITS)}")


def _order(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()
