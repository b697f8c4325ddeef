"""The copy of the code that a cluster's job runs from."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from launch.recipes.commands import make_job
from launch.slurm.script import sbatch_script
from launch.start.snapshot import PROJECT, Snapshot
from mmfm.config.schema import ClusterConfig, PretrainConfig, RunConfig


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tiny project with our packages' names."""
    for name in ("mmfm/data/plan.py", "data_tools/splits.py", "launch/job.py", "mmfm/__pycache__/old.pyc"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path / "project"


def test_later_edits_do_not_reach_the_copy(project: Path, tmp_path: Path) -> None:
    copy = Snapshot(tmp_path / "run", project).take()
    (project / "launch/job.py").write_text("# edited\n")
    assert (copy / "launch/job.py").read_text() == "# launch/job.py\n"
    assert Snapshot(tmp_path / "run", project).take() != copy
    names = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert names == ["data_tools/splits.py", "launch/job.py", "mmfm/data/plan.py"]


def test_the_same_code_is_copied_once(project: Path, tmp_path: Path) -> None:
    copy = Snapshot(tmp_path / "run", project).take()
    (project / "mmfm/__pycache__/new.pyc").write_text("")
    assert Snapshot(tmp_path / "run", project).take() == copy
    assert list((tmp_path / "run" / "code").iterdir()) == [copy]


def test_a_copy_that_cannot_take_its_place_is_no_copy_of_somebody_else(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="quota"):
        Snapshot(tmp_path / "run", project).take()
    assert list((tmp_path / "run" / "code").iterdir()) == []


def test_who_was_quicker_has_made_the_copy(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot(tmp_path / "run", project)
    rename = Path.rename

    def late(draft: Path, target: Path) -> Path:
        shutil.copytree(draft, target)
        return rename(draft, target)

    monkeypatch.setattr(Path, "rename", late)
    assert (snapshot.take() / "launch/job.py").is_file()
    assert list((tmp_path / "run" / "code").iterdir()) == [snapshot.folder]


def test_the_copy_of_the_real_project_holds_what_is_no_python(tmp_path: Path) -> None:
    copy = Snapshot(tmp_path / "run").take()
    assert (copy / "mmfm/__init__.py").read_bytes() == (PROJECT / "mmfm/__init__.py").read_bytes()
    assert list(copy.glob("mmfm/reports/**/*.j2"))


def test_the_script_names_the_copy_and_showing_it_copies_nothing(tmp_path: Path) -> None:
    cluster = ClusterConfig(kind="slurm", cpus=1)
    config = PretrainConfig(run=RunConfig(root=str(tmp_path), name="my run"), cluster=cluster)
    lines = sbatch_script(make_job("pretrain", config), cluster).splitlines()
    path = next(line for line in lines if line.startswith("export PYTHONPATH="))
    assert path == f"export PYTHONPATH='{Snapshot(tmp_path / 'my run').folder}'${{PYTHONPATH:+:$PYTHONPATH}}"
    assert "export PYTHONSAFEPATH=1" in lines
    assert not (tmp_path / "my run" / "code").exists()
