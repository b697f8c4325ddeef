"""Evaluation results of a run, as `mmfm evaluate` wrote them, in the order in which they are shown."""

from __future__ import annotations

from pathlib import Path

from mmfm.evaluation.results import ALL, Slice
from mmfm.evaluation.suitefile import TITLES, SuiteFile, read_suite


def read_suites(evals: Path) -> list[SuiteFile]:
    """The newest step of every suite below `evals`. Raises `DataError` that names a file it cannot use."""
    newest: dict[str, SuiteFile] = {}
    for path in sorted(evals.glob("step_*/*.json")) if evals.is_dir() else []:
        suite = read_suite(path)
        if suite.name not in newest or suite.step >= newest[suite.name].step:
            newest[suite.name] = suite
    places = {name: place for place, name in enumerate(TITLES)}
    return sorted(newest.values(), key=lambda suite: (places.get(suite.name, len(places)), suite.name))


def slice_order(part: Slice) -> tuple[bool, bool, str, str]:
    """Sort key: the sets trained on before domain shift, the joint slice first."""
    return part.shift, part.dataset != ALL, part.dataset, part.domain
