"""What ties samples to one lesion or patient: the one rule by which ids of several data sets are compared."""

from __future__ import annotations

from typing import NamedTuple

from mmfm.records import Record

LESION, PATIENT = "lesion", "patient"


class GroupId(NamedTuple):
    """A lesion or a patient: samples that have it in common belong on one side of a split."""

    kind: str  # LESION or PATIENT
    dataset: str  # in which the id counts; "" for one that means the same in all data sets
    value: str

    def __str__(self) -> str:
        of = f" of {self.dataset}" if self.dataset else ""
        return f"{self.kind} {self.value}{of}"


def group_ids(record: Record) -> list[GroupId]:
    """The lesion and the patient of a record, as far as they are known.

    An id with a letter in it ("IL_0000001", "HAM_0000118") is compared over all data sets, since collections
    share images. One without ("12", "2019-004") numbers the lesions of its own data set: that another set
    counts from 1 as well says nothing.
    """
    named = ((LESION, record.lesion_id), (PATIENT, record.patient_id))
    return [
        GroupId(kind, "" if any(map(str.isalpha, value)) else record.dataset, value)
        for kind, value in named
        if value
    ]
