"""Shards: from records to WebDataset tars with an index and a manifest, and the checks of such a folder."""

from data_tools.shards.build import prepare, shard, write_share
from data_tools.shards.ls import Row, list_samples, print_samples
from data_tools.shards.problems import Problem
from data_tools.shards.stats import Stats, stats
from data_tools.shards.tables import print_stats
from data_tools.shards.verify import verify

__all__ = [
    "Problem",
    "Row",
    "Stats",
    "list_samples",
    "prepare",
    "print_samples",
    "print_stats",
    "shard",
    "stats",
    "verify",
    "write_share",
]
