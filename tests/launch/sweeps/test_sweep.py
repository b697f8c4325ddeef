"""Sweeps: which members there are, what is run again, and the table of outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launch.cli import main
from launch.pipelines.chain import check_group
from launch.sweeps import sweep
from launch.sweeps.outcomes import Outcomes
from launch.sweeps.sweep import load_sweep, member_name, run_sweep
from mmfm.errors import ConfigError, DataError
from mmfm.training import checkpoint

WORDS = ["model.preset=demo", "data.shards=x", "run.name=s", "train.steps=4"]
ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "configs/pretrain/demo.yaml"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rates of the members that ran; each leaves a run folder. One of 0.5 fails."""
    rates: list[float] = []

    def run_stage(command: str, config: Any) -> None:
        rates.append(config.optim.lr)
        if config.optim.lr == 0.5:
            raise DataError("too steep")
        folder = Path(config.run.root) / config.run.name
        draft = checkpoint.begin(folder / "checkpoints", config.train.steps)
        checkpoint.commit(draft, checkpoint.Position(config.train.steps, 64, 1, 0))
        lines = [{"step": step, "loss": config.optim.lr * step, "samples_per_s": 9.0} for step in (1, 2, 3)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr(sweep, "run_stage", run_stage)
    monkeypatch.setattr(sweep, "check", lambda config: "")
    return rates


def members(*words: str) -> list[Any]:
    return load_sweep("pretrain", RECIPE, [*WORDS, *words])[1]


def test_every_combination_is_a_member_with_its_own_folder() -> None:
    folder, found = load_sweep(
        "pretrain", RECIPE, [*WORDS, "optim.lr=1e-3,1e-4", "optim.betas=[0.9,0.98],[0.9,0.95]"]
    )
    assert folder == Path("runs/s")
    assert [(s.config.optim.lr, s.config.optim.betas[1]) for s in found] == [
        (1e-3, 0.98),
        (1e-3, 0.95),
        (1e-4, 0.98),
        (1e-4, 0.95),
    ]
    assert found[0].name == "lr-1e-3_betas-0.9-0.98"
    assert [s.config.run.name for s in found] == [s.name for s in found]
    assert {s.config.run.root for s in found} == {"runs/s"}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"optim.lr": "0.1", "a.lr": "1"}, "optim.lr-0.1_a.lr-1"),
        ({"init": "runs/a/pretrain"}, "init-runs-a-pretrain"),
        ({"model.image.name": "''"}, "name-empty"),
    ],
)
def test_names_tell_members_apart(values: dict[str, str], name: str) -> None:
    assert member_name(values) == name


def test_the_folder_may_have_any_name() -> None:
    assert {s.config.run.root for s in members("optim.lr=1,2", "run.root='/a: b #1'")} == {"/a: b #1/s"}


def test_values_that_look_alike_as_names_still_make_two_members() -> None:
    assert [s.name for s in members("init=a/b,a-b")] == ["init-a-b", "init-a-b~2"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.lr=1e-3", "nothing to sweep"),
        ("optim.lr=1e-3,1e-3", "has a value twice"),
        ("optim.lr=1e-3,", "is empty"),
        ("run.name=a,b", "cannot be swept"),
        ("optim.lrr=1,2", "Did you mean optim.lr"),
    ],
)
def test_mistakes(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        members(word)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optim.lr=0.1,0.2", "cluster.chain=2"], r"lr-0\.1: cluster\.chain=2 does not go with"),
        (["cluster.hours=1,2"], r"cluster\.hours is 1.0 for hours-1 and 2.0 for hours-2"),
    ],
)
def test_what_no_array_can_be_is_refused_before_anything_is_submitted(
    tmp_path: Path, ran: list[float], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setattr(sweep, "submit_group", lambda *_: pytest.fail("it was submitted"))
    with pytest.raises(ConfigError, match=message):
        run_sweep(tmp_path / "s", members("cluster=testbed", f"run.root={tmp_path}", *words))
    assert not (tmp_path / "s").exists()


def test_a_chain_says_nothing_to_members_that_do_not_train() -> None:
    words = ["cluster=testbed", "cluster.chain=2", "checkpoint=c", "shards=x", "run.name=s", "seed=1,2"]
    check_group(load_sweep("evaluate", ROOT / "configs/evaluate/demo.yaml", words)[1])


def test_a_failed_member_keeps_no_other_from_running_and_is_run_again(
    tmp_path: Path, ran: list[float]
) -> None:
    words = [f"run.root={tmp_path}", "optim.lr=0.1,0.5,0.2"]
    records = run_sweep(tmp_path / "s", members(*words))
    assert ran == [0.1, 0.5, 0.2]
    outcomes = Outcomes.of(records)
    rows = [dict(zip(outcomes.columns, row, strict=True)) for row in outcomes.rows]
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert [row["loss"] for row in rows] == ["0.2000", "", "0.4000"]
    assert rows[1]["cause"] == "too steep"
    ran.clear()
    run_sweep(tmp_path / "s", members(*words))
    assert ran == [0.5]


def test_the_command_prints_the_table_and_fails_with_its_member(
    tmp_path: Path, ran: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"run.root={tmp_path}", "optim.lr=0.1,0.5"]
    assert main(["sweep", "pretrain", str(RECIPE), *words]) == 1
    assert "too steep" in capsys.readouterr().out
    assert (tmp_path / "s" / "outcomes.csv").read_text().startswith("optim.lr,state,job,step,loss")
    assert main(["sweep", "table", str(tmp_path / "s")]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["sweep", "table", str(tmp_path)]) == 2
