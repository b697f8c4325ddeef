"""Which split each sample goes to, kept below the output folder while shards are written.

It takes a look at every image to know (near-duplicates stay together), so it is settled once: for a run that
goes on after an interruption, and for all who share the writing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data_tools.shards.inputs import Inputs
from data_tools.shards.plan import DEAL_NAME, PARTS
from mmfm.files import write_atomically


@dataclass(frozen=True)
class Deal:
    """The split of each sample, "" for one that is left out, and how many pairs look alike."""

    splits: list[str]
    duplicate_pairs: int

    @classmethod
    def read(cls, output: Path, inputs: Inputs) -> Deal | None:
        """What was settled for the plan in `output`; None before that, or if an image is newer."""
        path = output / PARTS / DEAL_NAME
        try:
            deal = cls(**json.loads(path.read_text()))
            settled = path.stat().st_mtime
        except (OSError, ValueError, TypeError):
            return None
        return deal if settled >= inputs.newest and len(deal.splits) == len(inputs.samples) else None

    def write(self, output: Path) -> None:
        """Keep it for the plan that has `output`."""
        write_atomically(output / PARTS / DEAL_NAME, json.dumps(asdict(self)) + "\n")
