"""Which model is measured, told without loading one."""

import subprocess
import sys

import pytest

from mmfm.config import load
from mmfm.config.schema import EvaluateConfig
from mmfm.errors import CheckpointError
from mmfm.evaluation import place
from mmfm.models import build
from mmfm.training import checkpoint


def config_of(tmp_path, model):
    words = [f"run.root={tmp_path}", "run.name=r", f"checkpoint={model}", "shards=x", "suites=[probe]"]
    return load(EvaluateConfig, None, words)


def save(run, step):
    draft = checkpoint.begin(run / "checkpoints", step)
    (draft / "model").mkdir()
    (draft / "model" / build.DESCRIPTION).write_text("")
    return checkpoint.commit(draft, checkpoint.Position(step, 10 * step, 1, 0))


def test_files_are_those_of_the_checkpoints_step(tmp_path):
    older = save(tmp_path / "r", 100)
    save(tmp_path / "r", 200)
    folder = tmp_path / "r" / "evals"
    for model, step in ((tmp_path / "r", 200), (older, 100), (older / "model", 100)):
        assert place.suite_paths(config_of(tmp_path, model)) == [folder / f"step_{step:08d}" / "probe.json"]
    with pytest.raises(CheckpointError, match="nowhere"):
        place.suite_paths(config_of(tmp_path, "nowhere"))


def test_a_pinned_checkpoint_stays(tmp_path):
    save(tmp_path / "r", 100)
    config = config_of(tmp_path, tmp_path / "r")
    place.pin_checkpoint(config)
    save(tmp_path / "r", 200)
    assert place.find_model(config.checkpoint)[1] == 100


def test_nothing_slow_is_loaded():
    assert place.DESCRIPTION == build.DESCRIPTION
    code = "import sys, mmfm.evaluation.place; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers"} & set(done.stdout.split())
