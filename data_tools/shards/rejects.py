"""The rows and images that did not make it: listed with their reason, counted, and bounded."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_tools.shards.writer import PackReject
from data_tools.sources import Reject
from mmfm.data.manifest import REJECTS_NAME
from mmfm.errors import DataError
from mmfm.files import write_atomically
from mmfm.progress import say

if TYPE_CHECKING:
    from data_tools.shards.inputs import Inputs, SourceInputs  # brings all sources and strategies with it

COLUMNS = ("dataset", "row", "file", "reason")


def check_rejects(sources: Sequence[SourceInputs], limit: float) -> None:
    """Say how many rows of each source were refused, before notes of the others are asked for.

    Raises `DataError` where `mmfm data shard` would refuse the source, a share above `limit`.
    """
    for source in sources:
        if source.rejects:
            count = f"{len(source.rejects)} of {source.rows} rows left out"
            say(f"{source.dataset}: {count}, {_commonest(source.rejects)}")
    for source in sources:
        told = _too_many(source, source.rejects, limit)
        if told:
            raise DataError(
                f"{told}. `mmfm data shard` refuses this too, and lists the rows in {REJECTS_NAME}: mend "
                "them, or raise max_reject_share"
            )


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
            told = _too_many(source, self._of_source(number), self.limit)
            if told:
                self.write()
                raise DataError(
                    f"{told}. All are listed in {self.path}: mend them, or raise max_reject_share"
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


def _too_many(source: SourceInputs, rejects: Sequence[Reject], limit: float) -> str:
    """What is wrong with a source that lost more than a share `limit` of its rows; "" otherwise.

    Rows without an image are not counted at all where the source allows them.
    """
    rows = source.rows
    if source.config.allow_missing:
        counted = [reject for reject in rejects if not reject.missing_image]
        rejects, rows = counted, rows - (len(rejects) - len(counted))
    if len(rejects) <= limit * rows:
        return ""
    return (
        f"source {source.dataset}: {len(rejects)} of {rows} rows cannot be used "
        f"({len(rejects) / rows:.1%}, allowed is max_reject_share={limit:.1%}), {_commonest(rejects)}"
    )


def _commonest(rejects: Sequence[Reject]) -> str:
    reason, times = Counter(reject.reason for reject in rejects).most_common(1)[0]
    return f"most often ({times} times): {reason}"
