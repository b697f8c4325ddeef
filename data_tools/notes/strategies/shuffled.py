"""Strategy R, the control: a lesion gets the note of another one.

Whatever a model learns from such notes it does not learn from what they say. They come last, from the notes
that the other strategies have given: `shuffled` deals them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from data_tools.notes.strategies.template import TemplateStrategy
from data_tools.notes.strategy import Label
from mmfm.records import Note, Record

NAME = "R"
TRIES = 64  # of another lesion, before the search goes through all


class ShuffledNote(TemplateStrategy):
    """Strategy R. Its notes need those of other records: `shuffled` makes them, `write` does not."""

    name = NAME
    version = "2"
    label: Label = "guessed"  # it tells a class, that of the other lesion


def shuffled(
    records: Sequence[Record],
    notes: Sequence[Mapping[str, Note]],
    seed: int = 0,
    splits: Sequence[str] | None = None,
) -> list[Note | None]:
    """For each record a note of another lesion, drawn evenly over records, then over their notes.

    With `splits` that of a lesion of the same split: what is trained on must not tell what is tested. A pure
    function of the set of records with their notes and splits, and of `seed`: their order does not matter.
    None where no other lesion has a note.
    """
    of = splits if splits is not None else [""] * len(records)
    donors: dict[str, list[int]] = {split: [] for split in of}
    for number in sorted(range(len(records)), key=lambda number: records[number].key):
        if any(name != NAME for name in notes[number]):
            donors[of[number]].append(number)
    pairs = zip(records, of, strict=True)
    return [_deal(record, records, notes, donors[split], seed) for record, split in pairs]


def _deal(
    record: Record,
    records: Sequence[Record],
    notes: Sequence[Mapping[str, Note]],
    donors: Sequence[int],
    seed: int,
) -> Note | None:
    donor = _donor(record, records, donors, seed)
    if donor is None:
        return None
    names = sorted(name for name in notes[donor] if name != NAME)
    name = names[_number(f"{seed}:note:{record.key}") % len(names)]
    provenance = {
        "backend": "template",
        "version": ShuffledNote.version,
        "seed": seed,
        "of": records[donor].key,
        "note": name,
    }
    return Note(NAME, notes[donor][name].text, provenance)


def _donor(record: Record, records: Sequence[Record], donors: Sequence[int], seed: int) -> int | None:
    """Number of the record whose note `record` gets."""
    if not donors:
        return None
    for turn in range(TRIES):
        donor = donors[_number(f"{seed}:{turn}:{record.key}") % len(donors)]
        if not _same_lesion(record, records[donor]):
            return donor
    start = _number(f"{seed}:start:{record.key}") % len(donors)
    for donor in (*donors[start:], *donors[:start]):
        if not _same_lesion(record, records[donor]):
            return donor
    return None


def _same_lesion(one: Record, other: Record) -> bool:
    if one.key == other.key:
        return True
    return bool(one.lesion_id) and one.lesion_id == other.lesion_id


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
