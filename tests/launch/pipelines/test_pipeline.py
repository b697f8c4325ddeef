"""Pipelines: order, what is run again and what is not, and mistakes in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.pipelines import chain, pipeline
from launch.pipelines.pipeline import load_pipeline, load_stages, run_pipeline, stage_order
from launch.pipelines.records import Records, Stage
from launch.recipes.config import StageConfig
from launch.slurm.queue import JobState
from mmfm.errors import ConfigError
from mmfm.training.journal import Start

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
    recipe = Path(__file__).parents[3] / "configs/pipeline/demo.yaml"
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


TRAINED: dict[str, Any] = {
    "first": STAGES["first"],
    "train": {
        "command": "pretrain",
        "after": ["first"],
        "set": {"run": {"root": "${run.root}", "name": "t"}, "data": {"shards": "x"}},
    },
    "look": {
        "command": "evaluate",
        "after": ["train"],
        "limit": 2,
        "set": {"run": {"root": "${run.root}", "name": "t"}, "checkpoint": "t", "shards": "x"},
        "each": {"a": {"suites": ["probe"]}, "b": {"suites": ["zeroshot"]}, "c": {"seed": 3}},
    },
    "page": {"command": "report", "after": ["look"], "set": {"folder": "${run.root}"}},
}
SLURM = ["cluster=testbed", "cluster.nodes=4", "cluster.gpus=t4:2", "cluster.memory_gb=9", "cluster.cpus=2"]


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """The groups that were submitted, with the jobs that they wait for; all jobs stay in the queue."""
    groups: list[tuple[list[str], list[str]]] = []

    def submit_group(group: list[Stage], folder: Path, after: list[str]) -> dict[str, str]:
        groups.append(([stage.name for stage in group], after))
        jobs = {stage.name: f"{10 * len(groups)}_{number}" for number, stage in enumerate(group)}
        for stage in group:
            Records(folder)[stage.name].note("submitted", Start(jobs[stage.name]))
        return jobs

    monkeypatch.setattr(pipeline, "submit_group", submit_group)
    monkeypatch.setattr(
        chain, "job_states", lambda jobs: {job: JobState("pending", queued=True) for job in jobs}
    )
    return groups


def test_on_slurm_stages_wait_for_the_jobs_before_them(
    tmp_path: Path, submitted: list[tuple[list[str], list[str]]]
) -> None:
    recipe = write_recipe(tmp_path, TRAINED)
    run_pipeline(recipe, SLURM)
    looks = ["look.a", "look.b", "look.c"]
    assert submitted == [
        (["first"], []),
        (["train"], ["10_0"]),
        (looks, ["20_0"]),
        (["page"], ["30_0", "30_1", "30_2"]),
    ]
    submitted.clear()
    run_pipeline(recipe, SLURM)  # while they wait
    assert submitted == []


def test_a_stage_in_the_queue_keeps_the_config_of_its_submission(
    tmp_path: Path, submitted: list[tuple[list[str], list[str]]]
) -> None:
    """Its job does what it was given; a record of anything else would pass the stage over wrongly."""
    recipe = write_recipe(tmp_path, TRAINED)
    run_pipeline(recipe, SLURM)
    records = run_pipeline(recipe, [*SLURM, "stages.train.set.train.steps=7"])
    assert records.stages["train"].config.train.steps == 1000
    assert len(submitted) == 4


def test_output_that_was_made_anew_by_hand_is_used(tmp_path: Path, ran: list[str]) -> None:
    recipe = write_recipe(tmp_path)
    folder = run_pipeline(recipe).folder
    ran.clear()
    (folder / "shards" / "dataset.json").write_text("others")
    run_pipeline(recipe)
    assert ran == ["report"]


def test_what_is_finished_is_waited_for_by_nobody(
    tmp_path: Path, ran: list[str], submitted: list[tuple[list[str], list[str]]]
) -> None:
    recipe = write_recipe(tmp_path, TRAINED)
    run_pipeline(recipe, ["stages.first.set.cluster=local", *SLURM])  # it runs here, at once
    assert ran == ["data demo"]
    assert submitted[0] == (["train"], [])
    assert len(submitted) == 3


def test_only_training_gets_the_whole_size(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, TRAINED)
    stages = {stage.name: stage for stage in load_stages(load_pipeline(recipe, SLURM), recipe)}
    sizes = {
        name: (c.nodes, c.processes, c.gpus, c.memory_gb, c.cpus, c.partition)
        for name, c in ((name, stage.config.cluster) for name, stage in stages.items())
    }
    assert sizes["train"] == (4, 2, "t4:2", 9, 2, "main")
    assert sizes["look.a"] == (1, 1, "t4:1", 5, 2, "main")
    assert sizes["first"] == sizes["page"] == (1, 1, "", 5, 2, "main")
    assert stages["look.b"].config.suites == ["zeroshot"] and stages["look.c"].config.seed == 3


def test_a_stage_keeps_what_it_says_of_its_own_place(tmp_path: Path) -> None:
    train = {**TRAINED["train"], "set": {**TRAINED["train"]["set"], "cluster": {"nodes": 2, "hours": 3}}}
    recipe = write_recipe(tmp_path, {**TRAINED, "train": train})
    stages = {stage.name: stage for stage in load_stages(load_pipeline(recipe, SLURM), recipe)}
    cluster = stages["train"].config.cluster
    assert (cluster.kind, cluster.nodes, cluster.hours, cluster.processes) == ("slurm", 2, 3, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stages.look.set.cluster=local", *SLURM], "look.a runs on this machine but waits for train"),
        ([*SLURM, "cluster.gpus=t4:3"], "stage train: .*each GPU has one process"),
        ([*SLURM, "cluster.nodess=3"], "stage first: unknown key 'cluster.nodess'"),
        (["stages.look.each.a=3"], r"stages.look.each.a must be a mapping"),
        (["stages.train.set.train.global_batch=7", *SLURM], "stage train: .*7"),
        ([*SLURM, "cluster.chain=3"], r"train: cluster\.chain=3 .*`mmfm pretrain`"),
        (
            ["stages.look.each.b.cluster.hours=2", *SLURM],
            r"cluster\.hours is 1.0 for look\.a and 2.0 for look\.b",
        ),
    ],
)
def test_what_no_job_can_be_is_refused_before_anything_runs(
    tmp_path: Path,
    ran: list[str],
    submitted: list[tuple[list[str], list[str]]],
    words: list[str],
    message: str,
) -> None:
    recipe = write_recipe(tmp_path, TRAINED)
    with pytest.raises(ConfigError, match=message):
        run_pipeline(recipe, words)
    assert not ran and not submitted


def test_each_runs_here_one_after_another(tmp_path: Path, ran: list[str]) -> None:
    drawn = {**STAGES["first"], "each": {"few": {"folder": "a", "images": 2}, "many": {"images": 9}}}
    drawn["each"]["few"]["folder"] = str(tmp_path / "few")
    recipe = write_recipe(tmp_path, {"first": drawn, "second": STAGES["second"]})
    records = run_pipeline(recipe)
    assert ran == ["data demo", "data demo", "data shard"]
    assert list(records.stages) == ["first.few", "first.many", "second"]
    ran.clear()
    run_pipeline(recipe, ["stages.first.each.few.images=3"])
    assert ran == ["data demo", "data shard"]


def test_the_clusters_pipeline_fits_together() -> None:
    recipe = Path(__file__).parents[3] / "configs/pipeline/derm_cluster.yaml"
    words = ["run.name=x", "data.root=raw", "cluster=slurm", "cluster.nodes=4"]
    stages = {stage.name: stage for stage in load_stages(load_pipeline(recipe, words), recipe)}
    for kind in ("image", "note", "both"):
        tuned = stages[f"finetune.{kind}"].config
        assert tuned.task.inputs == kind and tuned.init == "runs/x/pretrain" and tuned.cluster.nodes == 1
        measured = stages[f"evaluate_finetune.{kind}"].config
        assert measured.checkpoint == f"{tuned.run.root}/{tuned.run.name}" == f"runs/x/finetune_{kind}"
    assert stages["pretrain"].config.cluster.nodes == 4
    assert len(stages["report"].after) == 6
