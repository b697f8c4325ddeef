"""Images on their way from a file to a shard or to a language model: opening, preparing."""
