"""The file of a suite, `evals/step_XXXXXXXX/<suite>.json`: what was measured, on what, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfm.errors import DataError
from mmfm.evaluation.results import Outcome
from mmfm.files import write_atomically

TITLES = {  # in the order in which they are shown
    "zeroshot": "Zero-shot classification",
    "retrieval": "Image and note retrieval",
    "probe": "Linear probe",
    "classify": "Fine-tuned classifier",
}


@dataclass(frozen=True)
class SuiteFile:
    """A suite's file as it was read. `step`: of the checkpoint."""

    name: str
    step: int
    protocol: str
    outcome: Outcome

    @property
    def title(self) -> str:
        """The suite's name for people."""
        return TITLES.get(self.name, self.name.replace("_", " ").capitalize())


def write_suite(path: Path, head: dict[str, Any], outcome: Outcome) -> Path:
    """Write a suite's file at once: `head` says what was measured, how and on what."""
    data = {**head, **outcome.to_json()}
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def read_suite(path: Path) -> SuiteFile:
    """Read a suite's file. Raises `DataError` that names it when it is missing, damaged or another file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return SuiteFile(data["suite"], int(data["step"]), data["protocol"], Outcome.from_json(data))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no result of `mmfm evaluate` ({error!r}): evaluate again") from error
