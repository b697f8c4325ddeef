"""How the global batch is dealt to processes and cut into micro-batches."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mmfm.config.schema import TrainConfig
from mmfm.errors import ConfigError


@dataclass(frozen=True)
class Batching:
    """The part of each global batch that one process works on. Raises `ConfigError` for what does not divide.

    Process `rank` of `world` gets the rank-th contiguous share of every global batch, as `accumulation`
    micro-batches of `micro_batch` samples (given as 0: the whole share at once).
    """

    global_batch: int
    micro_batch: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.global_batch < 1 or self.global_batch % self.world:
            raise ConfigError(
                f"train.global_batch={self.global_batch} cannot be shared by {self.world} processes: "
                f"take a multiple of {self.world}"
            )
        if self.micro_batch < 0 or (self.micro_batch and self.share % self.micro_batch):
            raise ConfigError(
                f"train.micro_batch={self.micro_batch} does not divide the {self.share} samples that each of "
                f"{self.world} processes gets of train.global_batch={self.global_batch}"
            )
        object.__setattr__(self, "micro_batch", self.micro_batch or self.share)

    @classmethod
    def of_environment(cls, train: TrainConfig) -> Batching:
        """For this process, by RANK and WORLD_SIZE of the environment (a single process without them)."""
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        return cls(train.global_batch, train.micro_batch, rank, world)

    @property
    def share(self) -> int:
        """Samples of this process in each global batch."""
        return self.global_batch // self.world

    @property
    def accumulation(self) -> int:
        """Micro-batches in each step."""
        return self.share // self.micro_batch
