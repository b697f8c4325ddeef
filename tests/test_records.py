from __future__ import annotations

import pytest

from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, MALIGNANCIES, label_of


def test_record_survives_json() -> None:
    note = Note("M", "A mole.", {"backend": "template"})
    record = Record("set", "a.b/1", "dermoscopic", label=6, age=40.0, extras={"n": 1}, notes={"M": note})
    assert Record.from_json(record.to_json()) == record
    assert record.class_name == "melanoma"


def test_key_has_none_of_the_signs_that_tar_readers_cut_at() -> None:
    assert Record("set", "a.b/1", "").key == "set-a_b_1"


def test_labels_are_positions_and_names_are_found() -> None:
    for label, lesion in enumerate(CLASSES):
        assert label_of(lesion.code.lower()) == label_of(f" {lesion.name} ") == label
        assert lesion.malignancy in MALIGNANCIES
    with pytest.raises(KeyError, match="wart"):
        label_of("wart")
