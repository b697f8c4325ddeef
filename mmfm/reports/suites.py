"""Evaluation results as `mmfm evaluate` writes them, read into typed pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmfm.errors import DataError
from mmfm.evaluation.results import ALL, Confusion, Result, Slice

TITLES = {
    "zeroshot": "Zero-shot classification",
    "retrieval": "Image and note retrieval",
    "probe": "Linear probe",
    "classify": "Fine-tuned classifier",
}
DATASETS = {
    "ham10000": "HAM10000",
    "milk10k": "MILK10k",
    "pad_ufes20": "PAD-UFES-20",
    "demo": "Drawn demo set",
    "demo_clinical": "Drawn held-out set",
}


@dataclass
class Suite:
    """The newest results of one suite in one run folder."""

    name: str
    step: int
    protocol: str
    results: list[Result]
    confusion: list[Confusion] = field(default_factory=list)
    gallery: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The suite's name for people."""
        return TITLES.get(self.name, self.name.replace("_", " ").capitalize())


def dataset_name(dataset: str) -> str:
    """The usual spelling of a dataset's name."""
    return DATASETS.get(dataset, dataset)


def slice_name(part: Slice) -> str:
    """For people: "HAM10000, dermoscopic"."""
    return "All sets trained on" if part.dataset == ALL else f"{dataset_name(part.dataset)}, {part.domain}"


def slice_order(part: Slice) -> tuple[bool, bool, str, str]:
    """Sort key: the sets trained on before domain shift, the joint slice first."""
    return part.shift, part.dataset != ALL, part.dataset, part.domain


def read_suites(evals: Path, read_json: Callable[[Path], Any]) -> list[Suite]:
    """The newest step of every suite below `evals`. Raises `DataError` that names a file it cannot use."""
    newest: dict[str, Suite] = {}
    for path in sorted(evals.glob("step_*/*.json")) if evals.is_dir() else []:
        suite = _suite(read_json(path), path)
        if suite.name not in newest or suite.step >= newest[suite.name].step:
            newest[suite.name] = suite
    order = list(TITLES)
    known = {name: order.index(name) if name in order else len(order) for name in newest}
    return sorted(newest.values(), key=lambda suite: (known[suite.name], suite.name))


def _suite(data: Any, path: Path) -> Suite:
    try:
        return Suite(
            name=data["suite"],
            step=int(data["step"]),
            protocol=data.get("protocol", ""),
            results=[Result(**{**entry, "slice": Slice(**entry["slice"])}) for entry in data["results"]],
            confusion=[_confusion(entry) for entry in data.get("confusion", [])],
            gallery=data.get("gallery", []),
            skipped=data.get("skipped", {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a result of `mmfm evaluate` ({error!r}): evaluate again") from error


def _confusion(data: dict[str, Any]) -> Confusion:
    confusion = Confusion(**{**data, "slice": Slice(**data["slice"])})
    side = len(confusion.classes)
    if len(confusion.counts) != side or any(len(row) != side for row in confusion.counts):
        raise ValueError(f"its confusion matrix is not {side} by {side}")
    return confusion
