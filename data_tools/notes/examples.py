"""Notes that a model is shown for their style: real ones from a file, or those that templates write.

Which ones a record gets is drawn by hashes, on a ring: a record or a note that is added changes few draws,
and so few keys of notes in the store.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from data_tools.config import GraphConfig
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES, UNKNOWN_LABEL, label_of

T = TypeVar("T")


class StyleExamples:
    """The style examples of records.

    From `graph.examples_file` where there is one: those of the record's class, and those without a class.
    Else what `write` makes of other lesions of the class. Raises `ConfigError` for a file that cannot be
    used.
    """

    def __init__(self, graph: GraphConfig, records: Sequence[Record], write: Callable[[Record], str]) -> None:
        self.graph = graph
        self._records = records
        self._write = write

    def of(self, record: Record) -> tuple[str, ...]:
        """At most `graph.examples` notes for `record`; a pure function of the records and of the file."""
        found: dict[str, None] = {}
        for text in self._texts(record) if self.graph.examples else ():
            if len(found) == self.graph.examples:
                break
            found[text] = None
        return tuple(found)

    def _texts(self, record: Record) -> Iterator[str]:
        """Candidates in the order of the ring, from the record's own place on."""
        if self.graph.examples_file:
            yield from _from(self._of_file.get(record.label, []), record)
            return
        for number in _from(self._of_records.get(record.label, []), record):
            other = self._records[number]
            if other.key != record.key and not (record.lesion_id and record.lesion_id == other.lesion_id):
                yield self._write(other)

    @cached_property
    def _of_records(self) -> dict[int, list[tuple[int, int]]]:
        """By class: place on the ring, and number of the record."""
        rings: dict[int, list[tuple[int, int]]] = {}
        for number, record in enumerate(self._records):
            rings.setdefault(record.label, []).append((_place(record.key), number))
        return {label: sorted(ring) for label, ring in rings.items()}

    @cached_property
    def _of_file(self) -> dict[int, list[tuple[int, str]]]:
        """By class: place on the ring, and text. Texts without a class are in all."""
        read = set(_read(Path(self.graph.examples_file)))
        labels = {record.label for record in self._records}
        return {
            label: sorted((_place(text), text) for of, text in read if of in (label, UNKNOWN_LABEL))
            for label in labels
        }


def _read(path: Path) -> Iterator[tuple[int, str]]:
    """(label, text) of each line of the file."""
    if not path.is_file():
        raise ConfigError(f"graph.examples_file={path} not found")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            text, name = " ".join(values["text"].split()), values.get("class") or ""
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f'{path}, line {number}: not of the form {{"text": "..."}}') from error
        try:
            yield label_of(name) if name else UNKNOWN_LABEL, text
        except KeyError as error:
            known = ", ".join(CODES)
            raise ConfigError(f"{path}, line {number}: class {name!r} is none of {known}") from error


def _from(ring: Sequence[tuple[int, T]], record: Record) -> Iterator[T]:
    """What is on the ring, once around, from the record's place on."""
    start = bisect.bisect_left(ring, _place(f"examples of {record.key}"), key=lambda item: item[0])
    for number in range(len(ring)):
        yield ring[(start + number) % len(ring)][1]


def _place(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
