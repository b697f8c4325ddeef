"""From raw images and metadata to verified shards: sources, splits, notes, shards, the demo set."""
