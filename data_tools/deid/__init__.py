"""De-identification check: what in a text could tell who somebody is."""

from data_tools.deid.find import KINDS, Hit, find_hits

__all__ = ["KINDS", "Hit", "find_hits"]
