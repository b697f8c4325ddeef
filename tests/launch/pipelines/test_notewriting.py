"""`mmfm notes write` on Slurm: which jobs, in which order, of which size; and what a task does."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakewriter import FakeBackend

from data_tools.notes import writing
from launch.cli import main
from launch.pipelines.notewriting import write_share_here
from launch.pipelines.pipeline import run_pipeline
from launch.pipelines.records import Records
from launch.recipes.commands import load_config

RECIPE = Path(__file__).parents[3] / "configs/data/demo.yaml"
MODEL = ["notes=[M,S2]", "writers.default.model=fake"]


def write(tmp_path: Path, *words: str) -> int:
    where = [str(RECIPE), f"root={tmp_path}", f"store={tmp_path}/store", "cluster=slurm"]
    return main(["notes", "write", *where, *MODEL, *words])


def test_an_array_writes_and_one_job_sees_to_the_rest(
    tmp_path: Path, sbatch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(tmp_path, "tasks=5") == 0
    array, rest = ((sbatch / number).read_text() for number in "12")
    assert "--array=0-4%5" in array and "--dependency" not in array
    assert "--dependency=afterok:1" in rest and "--kill-on-invalid-dep=yes" in rest
    for script in (array, rest):
        assert "--ntasks-per-node=1" in script and "gpus" not in script
    assert "Slurm job 2 ends it" in capsys.readouterr().out
    assert len(list((tmp_path / "store/jobs/logs").glob("*/*_submitted.pkl"))) == 6


def test_a_local_model_gets_a_gpu_and_one_task_is_one_job(tmp_path: Path, sbatch: Path) -> None:
    assert write(tmp_path, "writers.default.backend=local") == 0
    assert [path.name for path in sbatch.iterdir()] == ["1"]
    assert "--gpus-per-node=1" in (sbatch / "1").read_text()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    backend = FakeBackend()
    monkeypatch.setattr(writing, "backend_of", lambda writer, prepare: backend)
    return backend


def test_tasks_write_shares_that_make_the_whole(
    raw_folder: Path, tmp_path: Path, fake: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"root={raw_folder}", f"store={tmp_path}/store", "tasks=2", *MODEL]
    config = load_config("notes write", RECIPE, words)
    counts = []
    for number in "01":
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", number)
        write_share_here(config)
        counts.append(len(fake.asked))
    assert 0 < counts[0] < counts[1] == 160 == len({request.key for request in fake.asked})


STAGES = """
run: {{name: try, root: {root}}}
stages:
  notes:
    command: notes write
    recipe: {recipe}
    set: &data {{root: {raw}, store: {root}/store, notes: [M, S2], pack: {{workers: 1}},
      writers: {{default: {{model: fake}}}}}}
  shards:
    command: data shard
    recipe: {recipe}
    after: [notes]
    set:
      {{<<: *data, output: {root}/shards, audit: {{enabled: false}}, dedup: {{enabled: false}}}}
"""


def pipeline(raw_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(STAGES.format(root=tmp_path, recipe=RECIPE, raw=raw_folder))
    return path


def test_a_pipeline_writes_notes_before_the_shards(
    raw_folder: Path, tmp_path: Path, fake: FakeBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = pipeline(raw_folder, tmp_path)
    records = run_pipeline(recipe)
    assert len(fake.asked) == 160 and (tmp_path / "shards/dataset.json").is_file()
    run_pipeline(recipe)
    assert len(fake.asked) == 160 and "[1/2] notes: finished already" in capsys.readouterr().err
    assert records["shards"].status.name == "finished"


def test_a_pipeline_on_slurm_has_the_array_before_the_shards(
    raw_folder: Path, tmp_path: Path, sbatch: Path
) -> None:
    run_pipeline(pipeline(raw_folder, tmp_path), ["cluster=slurm", "stages.notes.set.tasks=3"])
    array, notes, shards = ((sbatch / number).read_text() for number in "123")
    assert "--array=0-2%3" in array and "--dependency=afterok:1" in notes
    assert "--dependency=afterok:2" in shards
    assert Records(tmp_path / "try")["notes"].status.job == "2"
