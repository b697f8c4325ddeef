from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.results import Found, headline, print_headline, suite_files
from mmfm.evaluation.results import Result, Slice


def result(metric: str, dataset: str, domain: str = "d", shift: bool = False, direction: str = "") -> Result:
    where = Slice(dataset, domain, shift)
    numbers = {"n": 40, "groups": 40, "classes": 8, "value": 0.4, "low": 0.3, "high": 0.5, "chance": 0.125}
    return Result(metric=metric, label=metric, slice=where, direction=direction, **numbers)


def test_the_headline_has_the_aggregate_and_each_shift() -> None:
    results = [
        result("balanced_accuracy", "a"),
        result("balanced_accuracy", "b"),
        result("balanced_accuracy", "all", "all"),
        result("balanced_accuracy", "c", shift=True),
        result("accuracy", "all", "all"),
        result("recall_at_10", "a", direction="image to note"),
        result("recall_at_10", "a", direction="note to image"),
    ]
    rows = headline(Found("run", "suite", each) for each in results)
    assert [(row.result.metric, row.result.slice.dataset) for row in rows] == [
        ("balanced_accuracy", "all"),
        ("balanced_accuracy", "c"),
        ("recall_at_10", "a"),  # there is no aggregate of it
    ]


def test_only_the_newest_evaluation_of_each_run_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import asdict

    for run, step, dataset in (("pretrain", 100, "old"), ("pretrain", 200, "new"), ("finetune", 50, "other")):
        path = tmp_path / run / "evals" / f"step_{step:08d}" / "zeroshot.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"results": [asdict(result("balanced_accuracy", dataset))]}))
    (tmp_path / "report.html").write_text("")
    assert [path.parents[2].name for path in suite_files(tmp_path)] == ["finetune", "pretrain"]
    print_headline(tmp_path)
    shown = capsys.readouterr().out
    assert "new d" in shown and "other d" in shown and "old" not in shown
    assert (
        "40.0%" in shown
        and "30.0 to 50.0%" in shown
        and str(tmp_path / "report.html") in shown.replace("\n", "")
    )
