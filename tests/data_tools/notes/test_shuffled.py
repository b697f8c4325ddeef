"""The control R: another lesion's note, the same whatever the order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from data_tools.notes.strategies.shuffled import shuffled
from mmfm.records import Note, Record


def samples(count: int, images_of_lesion: int = 1) -> tuple[list[Record], list[dict[str, Note]]]:
    records = [Record("a", str(n), "clinical", lesion_id=f"L{n // images_of_lesion}") for n in range(count)]
    return records, [{name: Note(name, f"{name} of {r.key}") for name in ("M", "K")} for r in records]


@given(
    count=st.integers(2, 12),
    per_lesion=st.integers(1, 3),
    seed=st.integers(0, 9),
    order=st.randoms(use_true_random=False),
)
def test_notes_are_of_another_lesion_whatever_the_order(
    count: int, per_lesion: int, seed: int, order: object
) -> None:
    records, notes = samples(count, per_lesion)
    dealt = dict(zip([r.key for r in records], shuffled(records, notes, seed), strict=True))
    lesion_of = {record.key: record.lesion_id for record in records}
    for key, note in dealt.items():
        others = [other for other, lesion in lesion_of.items() if lesion != lesion_of[key]]
        if not others:
            assert note is None
            continue
        assert note is not None and note.strategy == "R"
        assert note.provenance["of"] in others
        assert note.text == f"{note.provenance['note']} of {note.provenance['of']}"
    turned = list(range(count))
    order.shuffle(turned)  # type: ignore[attr-defined]
    again = shuffled([records[n] for n in turned], [notes[n] for n in turned], seed)
    assert {records[n].key: note for n, note in zip(turned, again, strict=True)} == dealt


def test_records_and_notes_are_drawn_evenly() -> None:
    records, notes = samples(400)
    dealt = [note for note in shuffled(records, notes) if note is not None]
    assert len(dealt) == 400
    assert 150 < sum(note.text.startswith("M") for note in dealt) < 250
    assert max(Counter(note.provenance["of"] for note in dealt).values()) < 9
    assert shuffled(records, notes, seed=1) != shuffled(records, notes, seed=2)


def test_with_splits_a_note_comes_from_the_own_split() -> None:
    records, notes = samples(60)
    splits = [("train", "val", "test", "")[number % 4] for number in range(60)]
    split_of = {record.key: split for record, split in zip(records, splits, strict=True)}
    dealt = shuffled(records, notes, splits=splits)
    assert [note and split_of[note.provenance["of"]] for note in dealt] == splits
    assert any(one != other for one, other in zip(dealt, shuffled(records, notes), strict=True))


def test_its_own_notes_are_not_dealt_again() -> None:
    records, notes = samples(3)
    for own in notes:
        own["R"] = Note("R", "of another lesion already")
    assert all(note and "already" not in note.text for note in shuffled(records, notes))


def test_without_another_lesion_there_is_none() -> None:
    records, notes = samples(3, images_of_lesion=3)
    assert shuffled(records, notes) == [None, None, None]
    assert shuffled(records[:1], [{}]) == [None]
