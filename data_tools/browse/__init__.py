"""`browse`: a local web page to look through a folder of shards."""

from data_tools.browse.server import browse, make_server

__all__ = ["browse", "make_server"]
