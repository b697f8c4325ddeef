"""The store of the notes that language models wrote: a folder that only grows.

    STORE/notes/HOST-PID-RANDOM.jsonl     one file for each process that wrote, a line for each answer
    STORE/digests/...                     digests of images and models, to be read once only
    STORE/written/...                     what each finished `mmfm notes write` came to

A note is found by its key (`data_tools.notes.keys`). Nothing is ever changed or deleted: a new prompt or
model has new keys, and the old notes stay. The folder may be copied, and two stores are joined by copying the
files of one into the other.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from data_tools.notes.lines import LineReader, LineWriter, Place, read_places
from mmfm.errors import DataError
from mmfm.progress import say

NOTES, DIGESTS, WRITTEN = "notes", "digests", "written"
Rank = tuple[int, float, str]


@dataclass(frozen=True)
class Entry:
    """An answer and the note that it became, or why it became none (`failure`)."""

    key: str
    record: str  # key of the record that it was written for
    name: str  # of the note: STRATEGY or STRATEGY-WRITER
    version: str  # of the strategy's prompt
    prompt: str  # digest
    facts: dict[str, Any]  # what the writer was told of the lesion
    backend: str
    model: str  # as the recipe names it
    decoding: dict[str, Any]
    answer: str = ""  # as it came
    text: str = ""  # of the note
    finish: str = ""  # "stop", or "length" where it was cut
    answered_by: str = ""  # the model as the backend names it
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    tries: int = 1
    failure: str = ""  # kind; "" for a note
    detail: str = ""  # of the failure
    time: float = field(default_factory=time.time)  # seconds since the epoch

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Entry:
        """The entry of a line; what a later version has added is left out."""
        known = {spec.name for spec in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def rank_of(line: dict[str, Any]) -> Rank:
    """Of several lines with one key that of the least rank counts, whatever the order of reading.

    A note goes before a failure; of notes the first written counts, so that what was packed stays; of
    failures the last. Where the times are equal, the checksum decides.
    """
    failed = bool(line["failure"])
    return int(failed), -line["time"] if failed else line["time"], line["sum"]


class NoteStore:
    """The store in `folder`, as it was when it was last refreshed, and a way to add to it.

    It keeps where the entries are, not the entries: half a million notes take some 250 MB of memory.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._reader = LineReader(self.folder / NOTES)
        self._found: dict[str, tuple[Rank, Place]] = {}
        self._writer: LineWriter | None = None
        self._closed = 0  # entries in files that are closed
        self._told = 0  # damaged lines that have been said
        self.refresh()

    @classmethod
    def existing(cls, folder: Path | str) -> NoteStore:
        """The store in `folder`. Raises `DataError` if there is none."""
        if not (Path(folder) / NOTES).is_dir():
            raise DataError(f"{folder} holds no notes: `mmfm notes write RECIPE store={folder}` writes them")
        return cls(folder)

    @property
    def durable(self) -> int:
        """How many of the entries added here are safe on disk."""
        return self._closed + (self._writer.durable if self._writer else 0)

    @property
    def torn(self) -> int:
        """Files whose last line has no end: their writer was killed, or is at it. No note is lost by it."""
        return len(self._reader.torn)

    @property
    def damaged(self) -> int:
        """Lines that are not as they were written: something else changed the files."""
        return len(self._reader.damaged)

    def refresh(self) -> int:
        """Read what has been added since, here or elsewhere. Returns the number of entries read."""
        count = 0
        for place, values in self._reader.new():
            key, rank, count = values["key"], rank_of(values), count + 1
            before = self._found.get(key)
            if before is None or rank < before[0]:
                self._found[key] = rank, place
        self._tell_damage()
        return count

    def __contains__(self, key: str) -> bool:
        """Whether there is a note; a failure is none."""
        return key in self._found and self._found[key][0][0] == 0

    def has_failed(self, key: str) -> bool:
        """Whether all that is known of a note are failures."""
        return key in self._found and self._found[key][0][0] == 1

    def get(self, key: str) -> Entry | None:
        """The entry of a key, note or failure."""
        return self.get_all([key]).get(key)

    def get_all(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries of those keys that have one, notes and failures, read in one go."""
        return {entry.key: entry for entry in self.read(keys)}

    def read(self, keys: Iterable[str]) -> Iterator[Entry]:
        """The same, one after the other in the order of the files: few are in memory at once."""
        places = [self._found[key][1] for key in dict.fromkeys(keys) if key in self._found]
        for _, values in read_places(places):
            yield Entry.from_json(values)

    def entries(self) -> Iterator[Entry]:
        """The entry that counts of each key, in the order of the files."""
        return self.read(self._found)

    def all_lines(self) -> Iterator[Entry]:
        """Every entry ever added, also those that later ones replace."""
        for _, values in LineReader(self.folder / NOTES).new():
            yield Entry.from_json(values)

    def check_writable(self) -> None:
        """Raise `DataError` where the folder cannot be written: before an answer is paid for."""
        try:
            (self.folder / NOTES).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder / NOTES).close()
        except OSError as error:
            raise DataError(f"{self.folder}: notes cannot be written there: {error.strerror}") from error

    def append(self, entry: Entry) -> None:
        """Add an entry. It is safe once `durable` counts it, and found after `refresh`.

        Raises `DataError` where the folder cannot be written.
        """
        if self._writer is None:
            self._writer = LineWriter(self.folder / NOTES)
        self._writer.append(asdict(entry))

    def flush(self) -> None:
        """Wait until all that was added is on disk. Raises `DataError` as `append`."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Flush, and end the file: what is added later goes into another. Raises `DataError` as `append`."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.close()
            finally:
                self._closed += writer.durable

    def __enter__(self) -> NoteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell_damage(self) -> None:
        if self.damaged > self._told:
            place = self._reader.damaged[-1]
            say(
                f"{self.folder}: {self.damaged} damaged lines are passed over, the last at byte "
                f"{place.offset} of {place.path.name}: what stood there counts as not written"
            )
            self._told = self.damaged
