from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from launch.cli import main
from launch.pipelines.stages import output_digest
from launch.results import print_headline
from mmfm.config import load
from mmfm.config.schema import EvaluateConfig
from mmfm.evaluation.results import Outcome, Result, Slice
from mmfm.evaluation.suitefile import write_suite
from mmfm.training import checkpoint


def result(dataset: str, domain: str = "d", shift: bool = False) -> Result:
    where = Slice(dataset, domain, shift)
    numbers = {"n": 40, "groups": 40, "classes": 8, "value": 0.4, "low": 0.3, "high": 0.5, "chance": 0.125}
    return Result(metric="balanced_accuracy", label="Balanced accuracy", slice=where, **numbers)


def write_results(run: Path, step: int, suite: str, dataset: str) -> None:
    head = {"suite": suite, "step": step, "protocol": "clean"}
    write_suite(run / "evals" / f"step_{step:08d}" / f"{suite}.json", head, Outcome([result(dataset)]))


def write_checkpoint(run: Path, step: int) -> Path:
    draft = checkpoint.begin(run / "checkpoints", step)
    (draft / "model").mkdir()
    (draft / "model" / "model.yaml").write_text("")
    return checkpoint.commit(draft, checkpoint.Position(step, 10 * step, 1, 0))


def test_the_headline_has_the_newest_results_of_each_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "pretrain", 100, "zeroshot", "old")
    write_results(tmp_path / "pretrain", 200, "zeroshot", "new")
    write_results(tmp_path / "finetune", 50, "classify", "other")
    (tmp_path / "report.html").write_text("")
    print_headline(tmp_path)
    shown = capsys.readouterr().out
    assert "new, d" in shown and "other, d" in shown and "old" not in shown
    assert "40.0%" in shown and "30.0 to 50.0%" in shown
    assert str(tmp_path / "report.html") in shown.replace("\n", "")
    assert "finetune" not in shown  # each suite is of one run: its name would say nothing


def test_runs_are_named_where_several_have_the_same_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in ("images", "notes"):
        write_results(tmp_path / run, 50, "classify", "a")
    print_headline(tmp_path)
    shown = capsys.readouterr().out
    assert "Run" in shown and "images" in shown and "notes" in shown


def test_a_folder_without_runs_has_no_headline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_headline(tmp_path)
    assert capsys.readouterr().out == ""


def test_evaluate_prints_what_it_wrote_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a later step, another suite or a run inside; a checkpoint saved meanwhile changes nothing."""
    run = tmp_path / "r"
    write_checkpoint(run, 100)
    write_results(run, 200, "zeroshot", "later")
    write_results(run, 100, "probe", "unasked")
    write_results(run / "child", 100, "zeroshot", "inner")

    def evaluate(_: str, config: Any) -> None:
        assert config.checkpoint == str(run / "checkpoints" / "step_00000100" / "model")
        write_results(run, 100, "zeroshot", "asked")
        write_checkpoint(run, 300)
        shutil.rmtree(run / "checkpoints" / "step_00000100")

    monkeypatch.setattr("launch.run.run", evaluate)
    words = [f"checkpoint={run}", "shards=x", f"run.root={tmp_path}", "run.name=r", "suites=[zeroshot]"]
    recipe = Path(__file__).parents[2] / "configs/evaluate/demo.yaml"
    assert main(["evaluate", str(recipe), *words]) == 0
    shown = capsys.readouterr().out
    assert "asked, d" in shown
    assert not any(word in shown for word in ("later", "unasked", "inner"))


def test_a_stage_knows_its_evaluation_by_the_step_of_its_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "r"
    words = [f"checkpoint={run}", "shards=x", f"run.root={tmp_path}", "run.name=r", "suites=[zeroshot]"]
    config = load(EvaluateConfig, None, words)
    assert output_digest("evaluate", config) == ""  # no checkpoint
    write_checkpoint(run, 100)
    write_results(run, 200, "zeroshot", "later")
    assert output_digest("evaluate", config) == ""
    write_results(run, 100, "zeroshot", "asked")
    digest = output_digest("evaluate", config)
    write_results(run, 200, "zeroshot", "another")
    assert digest and output_digest("evaluate", config) == digest
