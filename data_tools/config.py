"""The recipe of `mmfm data shard`: sources, splits, notes and the shape of the shards."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from mmfm.config.option import option
from mmfm.config.schema import ClusterConfig


@dataclass
class SourceConfig:
    """One set of images with its metadata."""

    kind: str = option(
        "table",
        "how the metadata is read: a mapped table, or the official files of a data set",
        choices=("table", "ham10000", "milk10k", "pad_ufes20"),
    )
    dataset: str = option("", "name that records carry; empty takes that of the adapter")
    root: str = option(".", "folder of this source, relative to the recipe's root")
    metadata: str = option("", "metadata file (CSV or Parquet), relative to the source's root")
    images: str = option("", "image folder, relative to the source's root")
    domain: str = option("", "imaging domain of every record, where no column tells")
    columns: dict[str, str] = option({}, "table: record field -> column")
    values: dict[str, dict[str, str]] = option({}, "table: record field -> value in the file -> our value")
    where: dict[str, str] = option({}, "keep rows whose column has this value")
    allow_missing: bool = option(
        False, "rows without an image file are listed but do not count against max_reject_share"
    )
    heldout: bool = option(False, "never train on it: groups that no trained-on source shares go to test")


@dataclass
class SplitConfig:
    """Shares of the splits. Records of one lesion or patient stay together."""

    val: float = option(0.1, "share of the groups in val")
    test: float = option(0.2, "share of the groups in test")
    seed: int = option(0, "seed of the assignment")


@dataclass
class DedupConfig:
    """Near-duplicates, found by perceptual hash, are kept on one side of the split."""

    enabled: bool = option(True, "look for near-duplicates")
    hash_side: int = option(16, "side of the difference hash; 16 gives 256 bits")
    max_distance: int = option(10, "greatest Hamming distance of two images of one set taken for the same")
    max_distance_across: int = option(
        20, "the same for images of two sets: larger, since each set crops and compresses in its own way"
    )


@dataclass
class PackConfig:
    """Shape of the shards."""

    samples_per_shard: int = option(500, "samples in each tar")
    short_side: int = option(0, "images with a longer short side are shrunk to it; 0 keeps all")
    quality: int = option(92, "JPEG quality of images that are encoded again")
    workers: int = option(0, "writing processes; 0 takes one per core")
    tasks: int = option(1, "jobs of a Slurm array that share the writing", minimum=1)


@dataclass
class ShardsConfig:
    """`mmfm data shard`: from raw images and metadata to a folder of shards."""

    root: str = option(MISSING, "folder that holds the raw data")
    output: str = option(MISSING, "folder of the shards to write")
    sources: list[SourceConfig] = option([], "the sets of images")
    notes: list[str] = option(["M"], "note strategies to write")
    split: SplitConfig = field(default_factory=SplitConfig)
    dedup: DedupConfig = field(default_factory=DedupConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    max_reject_share: float = option(0.05, "stop when more than this share of a source's rows is rejected")
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
