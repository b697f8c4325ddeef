"""Shards: from records to WebDataset tars with an index and a manifest, and the checks of such a folder.

Nothing is imported here: who looks into shards does not need what writes them.
"""
