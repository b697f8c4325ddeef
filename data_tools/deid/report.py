"""What the check found, for people: counts by file and kind, and places without what stands there."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_tools.deid.find import KINDS, find_field_hits, masked
from data_tools.deid.hit import Hit
from data_tools.deid.reading import Text
from mmfm.files import write_atomically

COLUMNS = ("file", "row", "field", "kind", "start", "end", "text")
AROUND = 25  # letters beside a hit, where it is shown


@dataclass
class Check:
    """The hits in some texts."""

    texts: int = 0
    hits: list[tuple[Text, Hit]] = field(default_factory=list)

    @classmethod
    def of(cls, texts: Iterable[Text]) -> Check:
        """Check texts."""
        check = cls()
        for text in texts:
            check.texts += 1
            check.hits += [(text, hit) for hit in find_field_hits(text.field, text.text)]
        return check

    def print(self, show: bool, limit: int) -> None:
        """Print counts; with `show` the first `limit` hits of each kind, readable, in their surroundings."""
        console = Console(highlight=False, markup=False, emoji=False)  # folders and texts are no markup
        if not self.hits:
            console.print(f"{self.texts} texts: nothing found that tells who somebody is")
            return
        console.print(self._table())
        console.print(f"{len(self.hits)} places in {self.texts} texts")
        shown: Counter[str] = Counter()
        for text, hit in self.hits if show else ():
            shown[hit.kind] += 1
            if shown[hit.kind] <= limit:
                around = text.text[max(hit.start - AROUND, 0) : hit.end + AROUND].replace("\n", " ")
                console.print(f"{hit.kind}: {text.file}:{text.row} {text.field}: {around}")

    def write(self, path: Path, show: bool) -> None:
        """Write all hits as CSV; the text itself is masked unless `show`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        for text, hit in self.hits:
            found = text.text[hit.start : hit.end]
            place = (text.file, text.row, text.field, hit.kind, hit.start, hit.end)
            writer.writerow((*place, found if show else masked(found)))
        write_atomically(path, buffer.getvalue())

    def _table(self) -> Table:
        counts = Counter((text.file, text.field, hit.kind) for text, hit in self.hits)
        kinds = [kind for kind in KINDS if any(found == kind for _, _, found in counts)]
        table = Table(title="places that tell who somebody is", title_justify="left")
        table.add_column("file", overflow="fold")
        table.add_column("field", overflow="fold")
        for kind in kinds:
            table.add_column(kind, justify="right")
        for file, name in dict.fromkeys((file, name) for file, name, _ in counts):
            row = [str(counts[file, name, kind] or "-") for kind in kinds]
            table.add_row(_short(file, counts), name, *row)
        return table


def _short(file: str, counts: Counter[tuple[str, str, str]]) -> str:
    """A file's name without the folder that all of them lie in."""
    folder = os.path.commonpath([str(Path(other).parent) for other, _, _ in counts])
    return os.path.relpath(file, folder)
