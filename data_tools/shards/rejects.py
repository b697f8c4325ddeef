"""The rows and images that did not make it: listed with their reason, counted, and bounded."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from data_tools.shards.plan import REJECTS_NAME
from data_tools.shards.writer import PackReject
from data_tools.sources import Reject
from mmfm.errors import DataError
from mmfm.files import write_atomically

if TYPE_CHECKING:
    from data_tools.shards.inputs import Inputs  # brings all sources and strategies with it

COLUMNS = ("dataset", "row", "file", "reason")


class RejectTally:
    """Rejects of reading and of packing, by source."""

    def __init__(self, inputs: Inputs, output: Path, limit: float) -> None:
        self.inputs = inputs
        self.path = output / REJECTS_NAME
        self.limit = limit
        self.packing: list[PackReject] = []

    def add(self, rejects: list[PackReject]) -> None:
        """Take the rejects of one shard."""
        self.packing.extend(rejects)

    def check(self) -> None:
        """Raise `DataError`, once `rejects.csv` is written, if a source lost more than its allowed share."""
        for number, source in enumerate(self.inputs.sources):
            rejects, rows = self._of_source(number), source.rows
            if source.config.allow_missing:
                kept = [reject for reject in rejects if not reject.missing_image]
                rejects, rows = kept, rows - (len(rejects) - len(kept))
            if len(rejects) <= self.limit * rows:
                continue
            self.write()
            reason, times = Counter(reject.reason for reject in rejects).most_common(1)[0]
            raise DataError(
                f"source {source.dataset}: {len(rejects)} of {rows} rows cannot be used "
                f"({len(rejects) / rows:.1%}, allowed is max_reject_share={self.limit:.1%}). "
                f"Most frequent reason ({times} times): {reason}. All are listed in {self.path}: "
                "mend them, or raise max_reject_share"
            )

    def write(self) -> None:
        """Write `rejects.csv`: by source, first rows refused at reading, then images refused at packing."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in range(len(self.inputs.sources)):
            for reject in self._of_source(number):
                writer.writerow((reject.dataset, reject.place, reject.file, reject.reason))
        write_atomically(self.path, text.getvalue())

    def _of_source(self, number: int) -> list[Reject]:
        source = self.inputs.sources[number]
        packing = sorted(
            (reject for reject in self.packing if reject.source == number),
            key=lambda reject: (reject.table, reject.row),
        )
        return source.rejects + [
            Reject(source.dataset, reject.row, reject.file, reject.reason, reject.table) for reject in packing
        ]
