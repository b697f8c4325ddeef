"""What can be wrong with a folder of shards."""

from __future__ import annotations

from dataclasses import dataclass

MISSING_SHARD = "missing shard"
EXTRA_SHARD = "extra shard"
TRUNCATED = "truncated"
ALTERED = "altered"
MISSING = "missing"
DUPLICATED = "duplicated"
EXTRA = "extra"
CHECKSUM = "checksum"
INDEX = "index"
JSON = "json"
IMAGE = "image"
COUNTS = "counts"
GROUP = "group"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its kind, the shard (path in the folder) and sample key it concerns, and more.

    `shard` and `key` are "" where the problem is not of one shard or one sample.
    """

    kind: str
    shard: str
    key: str
    detail: str

    def __str__(self) -> str:
        place = " ".join(part for part in (self.shard, self.key) if part)
        return f"{self.kind}: {place}{': ' if place else ''}{self.detail}"
