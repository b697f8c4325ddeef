"""Data: shards on disk, their exact order, and the stream of training batches made from them."""
