"""Images out of the shards, and small copies of them that are kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict

from data_tools.browse.table import Table
from mmfm.evaluation.thumbnail import small_jpeg

SIDE = 320  # greatest side of a small copy, in pixels: sharp on dense screens
KEPT_BYTES = 64_000_000


class Pictures:
    """Images of a table by sample number. Safe to use from several threads."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._small: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def whole(self, sample: int) -> bytes:
        """The JPEG as it is in its shard. Raises `CorruptSample`."""
        return self._table.image(sample)

    def small(self, sample: int) -> bytes:
        """A JPEG of at most `SIDE` pixels. Raises `CorruptSample`, or an error of the decoder."""
        with self._lock:
            if sample in self._small:
                self._small.move_to_end(sample)
                return self._small[sample]
        made = small_jpeg(self._table.image(sample), SIDE)
        with self._lock:
            self._bytes += len(made) - len(self._small.pop(sample, b""))
            self._small[sample] = made
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._small.popitem(last=False)[1])
        return made
