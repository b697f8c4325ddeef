"""Leakage: what the splits of shards share that they must not."""

from data_tools.leaks.compare import Finding, Shared, find_leaks
from data_tools.leaks.report import print_findings, write_findings
from data_tools.leaks.sides import Sides, read_sides

__all__ = [
    "Finding",
    "Shared",
    "Sides",
    "find_leaks",
    "print_findings",
    "read_sides",
    "write_findings",
]
