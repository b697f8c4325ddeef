"""The cluster profiles that come with the project: each makes a script; the template leaves nothing out."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.recipes.commands import load_config, make_job
from launch.recipes.overrides import cluster_profiles
from launch.slurm.script import sbatch_script
from mmfm.config.schema import ClusterConfig

FOLDER = Path(__file__).parents[3] / "configs" / "cluster"
NEEDED = {
    "kind": "slurm",
    "cpus": 8,
}  # what a Slurm job cannot do without; else the template has the defaults
ON_SLURM = ("slurm", "template", "biowulf", "testbed")


def script(tmp_path: Path, profile: str, *words: str) -> list[str]:
    """The lines of the script that a profile makes, which must be shell."""
    config = load_config(
        "pretrain", None, [f"run.root={tmp_path}", "run.name=run", f"cluster={profile}", *words]
    )
    text = sbatch_script(make_job("pretrain", config), config.cluster)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    return text.splitlines()


def test_all_profiles_are_tried_here() -> None:
    there = {path.stem for path in FOLDER.glob("*.yaml")}
    assert there == {*ON_SLURM, "local"} <= set(cluster_profiles())


@pytest.mark.parametrize("profile", ON_SLURM)
def test_each_makes_a_script(profile: str, tmp_path: Path) -> None:
    lines = script(tmp_path, profile, "cluster.nodes=3")
    assert "#SBATCH --nodes=3" in lines
    assert not any(line.endswith("=") for line in lines if line.startswith("#SBATCH"))


def test_the_template_has_every_key_with_its_default() -> None:
    values: dict[str, Any] = yaml.safe_load((FOLDER / "template.yaml").read_text())
    assert values == {**asdict(ClusterConfig()), **NEEDED}


def test_a_site_of_generic_resources_and_modules(tmp_path: Path) -> None:
    lines = script(tmp_path, "biowulf", "cluster.gpus=v100:2", "cluster.processes=2")
    assert "#SBATCH --gres=gpu:v100:2,lscratch:200" in lines
    assert not any("gpus-per-node" in line for line in lines)
    srun = next(number for number, line in enumerate(lines) if line.startswith("srun "))
    assert any(line.startswith("module load CUDA/") for line in lines[:srun])


def test_pretended_gpus_are_not_looked_for() -> None:
    config = load_config("pretrain", None, ["cluster=testbed"])
    assert config.cluster.gpus and not config.cluster.check_gpus
