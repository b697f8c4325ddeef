"""Fetching: data sets from where they are published, or the way to them."""

from data_tools.fetch.catalogue import DatasetEntry, catalogue, entries_of
from data_tools.fetch.fetch import fetch

__all__ = ["DatasetEntry", "catalogue", "entries_of", "fetch"]
