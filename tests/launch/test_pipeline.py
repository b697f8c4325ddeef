"""Pipelines: order, what is run again and what is not, and mistakes in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from launch import pipeline
from launch.config import StageConfig
from launch.pipeline import load_pipeline, load_stages, run_pipeline, stage_order
from launch.records import Records
from mmfm.errors import ConfigError

STAGES: dict[str, Any] = {
    "last": {"command": "report", "after": ["second", "first"], "set": {"folder": "${run.root}/${run.name}"}},
    "first": {"command": "data demo", "set": {"folder": "${data.root}", "images": 8}},
    "second": {
        "command": "data shard",
        "after": ["first"],
        "set": {"root": "${data.root}", "output": "${run.root}/${run.name}/shards"},
    },
}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages' commands in the order in which they ran; each writes the file that stands for it."""
    commands: list[str] = []

    def run_stage(command: str, config: Any) -> None:
        commands.append(command)
        if command == "data demo":
            target, text = Path(config.folder) / "metadata.csv", f"{config.images} images"
        elif command == "data shard":
            target, text = (
                Path(config.output) / "dataset.json",
                (Path(config.root) / "metadata.csv").read_text(),
            )
        else:
            target, text = Path(config.folder) / "report.html", "page"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    monkeypatch.setattr(pipeline, "run_stage", run_stage)
    return commands


def write_recipe(folder: Path, stages: dict[str, Any] | None = None) -> Path:
    values = {
        "run": {"root": str(folder / "runs"), "name": "p"},
        "data": {"root": "${run.root}/raw"},
        "stages": stages if stages is not None else STAGES,
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_stages_run_after_those_they_wait_for_and_only_once(tmp_path: Path, ran: list[str]) -> None:
    recipe = write_recipe(tmp_path)
    records = run_pipeline(recipe)
    assert ran == ["data demo", "data shard", "report"]
    assert records.folder == tmp_path / "runs" / "p"
    assert {records[name].status.name for name in STAGES} == {"finished"}
    run_pipeline(recipe)
    assert len(ran) == 3


def test_a_changed_stage_is_run_again_with_those_that_read_its_output(tmp_path: Path, ran: list[str]) -> None:
    recipe = write_recipe(tmp_path)
    run_pipeline(recipe)
    ran.clear()
    run_pipeline(recipe, ["stages.first.set.images=9"])
    assert ran == ["data demo", "data shard", "report"]
    ran.clear()
    run_pipeline(recipe, ["stages.first.set.images=9", "stages.first.set.seed=1"])
    assert ran == ["data demo"]  # the same bytes came out


def test_missing_output_is_made_again(tmp_path: Path, ran: list[str]) -> None:
    recipe = write_recipe(tmp_path)
    folder = run_pipeline(recipe).folder
    ran.clear()
    (folder / "report.html").unlink()
    run_pipeline(recipe)
    assert ran == ["report"]


def test_a_failed_stage_is_recorded_and_run_again(
    tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path)
    works = pipeline.run_stage

    def fails(command: str, config: Any) -> None:
        if command == "data shard":
            raise RuntimeError("disk full")
        works(command, config)

    monkeypatch.setattr(pipeline, "run_stage", fails)
    with pytest.raises(RuntimeError, match="disk full"):
        run_pipeline(recipe)
    records = Records(tmp_path / "runs" / "p")
    assert records["first"].status.name == "finished"
    assert (records["second"].status.name, records["second"].status.cause) == ("failed", "disk full")
    monkeypatch.setattr(pipeline, "run_stage", works)
    ran.clear()
    run_pipeline(recipe)
    assert ran == ["data shard", "report"]


def test_order_keeps_the_listing_where_it_can() -> None:
    after = {"d": ["a"], "c": [], "b": ["c"], "a": []}
    stages = {name: StageConfig(command="report", after=names) for name, names in after.items()}
    assert stage_order(stages) == ["c", "b", "a", "d"]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"command": "data demo", "after": ["frist"]}, "stages.x.after names frist"),
        ({"command": "data demo", "after": ["x"]}, "wait for each other"),
        ({"command": "dance"}, "dance.*is not one of data demo"),
        ({"command": "report", "set": {"foldr": "a"}}, "stage x: unknown key 'foldr'.*Did you mean folder"),
        ({"command": "report"}, "stage x: folder is not set"),
        ({"command": "report", "afer": []}, "afer"),
        ({"command": "data shard", "recipe": "no.yaml"}, "stage x: recipe .*no.yaml not found"),
        ({"command": "report", "set": {"folder": "${run.nmae}"}}, "run.nmae"),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    tmp_path: Path, ran: list[str], stage: dict[str, Any], message: str
) -> None:
    recipe = write_recipe(tmp_path, {"first": STAGES["first"], "x": stage})
    with pytest.raises(ConfigError, match=message):
        run_pipeline(recipe)
    assert not ran


def test_the_demos_pipeline_fits_together() -> None:
    recipe = Path(__file__).parents[2] / "configs/pipeline/demo.yaml"
    stages = {stage.name: stage for stage in load_stages(load_pipeline(recipe, ["run.name=x"]), recipe)}
    shards = stages["shards"].config.output
    assert shards == "runs/x/shards"
    assert shards == stages["pretrain"].config.data.shards == stages["evaluate_finetune"].config.shards
    assert (
        stages["finetune"].config.init == "runs/x/pretrain" == stages["evaluate_pretrain"].config.checkpoint
    )
    assert list(stages)[-1] == "report"


def test_a_stage_may_name_a_cluster_profile(tmp_path: Path) -> None:
    stage = {"command": "pretrain", "set": {"cluster": "local", "run.name": "x", "data.shards": "y"}}
    recipe = write_recipe(tmp_path, {"train": stage})
    (loaded,) = load_stages(load_pipeline(recipe), recipe)
    assert loaded.config.cluster.kind == "local"
    stage["set"]["cluster"] = "nowhere"
    recipe = write_recipe(tmp_path, {"train": stage})
    with pytest.raises(ConfigError, match=r"cluster=nowhere: .*Profiles: .*local"):
        load_stages(load_pipeline(recipe), recipe)


def test_raw_data_that_a_recipe_wants_must_be_given(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    recipe.write_text(recipe.read_text().replace("root: ${run.root}/raw", "{}"))
    with pytest.raises(ConfigError, match=r"data\.root=FOLDER"):
        run_pipeline(recipe)
