"""The command line: help, configs, messages and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.cli import main
from launch.cli.entry import build_parser
from launch.recipes import reference
from launch.recipes.commands import SCHEMAS, load_config
from mmfm.config.schema import PretrainConfig

ROOT = Path(__file__).parents[3]
DEMO = str(ROOT / "configs/pretrain/demo.yaml")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


COMMANDS = (
    "",
    "demo",
    "pipeline",
    "data shard",
    "data verify",
    "data stats",
    "data ls",
    "data mix",
    "data reshard",
    "data browse",
    "data demo",
    "data prepare",
    "data duplicates",
    "data leaks",
    "data deid",
    "notes show",
    "notes audit",
    "pretrain",
    "finetune",
    "evaluate",
    "report",
    "bench loader",
    "status",
    "logs",
    "cancel",
    "cluster up",
    "cluster down",
    "cluster status",
    "cluster shell",
    "cluster exec",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(command.split(), capsys)
    assert text.startswith(f"usage: mmfm {command}")


def test_help_does_not_wait_for_heavy_packages() -> None:
    code = "import sys; from launch.cli.entry import build_parser; build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "omegaconf", "submitit", "rich"} & set(done.stdout.split())


def test_an_unknown_key_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, messages = run(capsys, "pretrain", DEMO, "train.stepz=4", "--print-config")
    assert code == 2
    assert messages == (
        "mmfm: error: unknown key 'train.stepz' in the overrides. Did you mean train.steps?\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pretrain", "no/such.yaml"], "no/such.yaml not found"),
        (["pretrain", DEMO, "train.steps=many"], "train.steps"),
        (["pretrain", DEMO, "cluster=nowhere"], "Profiles: biowulf, local, slurm"),
        (["pretrain", DEMO], "data.shards is not set"),
        (["pretrain", DEMO, "data.shards=no/shards"], "no/shards"),
        (["pretrain", DEMO, "data.shards=x", "cluster.nodes=2"], "cluster=slurm"),
        (["pretrain", DEMO, "data.shards=x", "cluster.processes=3"], "train.global_batch=128"),
        (["pretrain", DEMO, "data.shards=x", "train.micro_batch=48"], "train.micro_batch=48"),
        (["data", "verify", "no/shards"], "no/shards"),
    ],
)
def test_mistakes_get_one_message_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, messages = run(capsys, *words)
    assert code == 2
    assert messages.startswith("mmfm: error: ") and message in messages and "Traceback" not in messages


@pytest.mark.parametrize(
    "words", [["data", "stats", "x", "a=1"], ["pretrain", DEMO, "--nonsense"], ["dance"]]
)
def test_stray_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_the_printed_config_is_a_recipe_for_the_same_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train.steps=7", "cluster.setup=[module load cuda]"]
    _, text, _ = run(capsys, "pretrain", DEMO, "--print-config", *words)  # flags and overrides in any order
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    again = load_config("pretrain", path, [])
    assert again == load_config("pretrain", DEMO, words)
    assert again.train.steps == 7 and again.cluster.setup == ["module load cuda"]


def test_a_profile_goes_over_the_recipe_and_single_keys_over_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs/cluster").mkdir(parents=True)
    profile = {"kind": "slurm", "processes": 8, "setup": ["export A='x: {y}'"], "extra": {"mail-type": "END"}}
    (tmp_path / "configs/cluster/mine.yaml").write_text(yaml.safe_dump(profile))
    monkeypatch.chdir(tmp_path)
    config: PretrainConfig = load_config("pretrain", DEMO, ["cluster.processes=2", "cluster=mine"])
    assert (config.cluster.kind, config.cluster.processes) == ("slurm", 2)
    assert config.cluster.setup == ["export A='x: {y}'"] and config.cluster.extra == {"mail-type": "END"}


def test_a_dry_run_checks_the_shards_and_shows_the_job(
    shards_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"data.shards={shards_folder}", f"run.root={tmp_path}", "run.name=dry", "--dry-run"]
    words = ["train.global_batch=32", *where]
    code, text, messages = run(capsys, "pretrain", DEMO, *words)
    assert code == 0 and "samples in train" in messages
    assert "2 on this machine, 1 threads each" in text and str(tmp_path / "dry") in text
    code, text, _ = run(capsys, "pretrain", DEMO, "cluster=slurm", *words)
    assert code == 0 and text.startswith("#!/bin/bash")
    code, _, messages = run(capsys, "pretrain", DEMO, "data.split=trian", *words)
    assert code == 2 and "'trian'" in messages and "train (" in messages


def test_verify_exits_with_1_on_damage(
    shards_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    assert run(capsys, "data", "verify", str(shards_folder))[0] == 0
    damaged = tmp_path / "damaged"
    shutil.copytree(shards_folder, damaged)
    tar = next(damaged.glob("train/*.tar"))
    tar.write_bytes(tar.read_bytes()[:-5000])
    code, text, messages = run(capsys, "data", "verify", str(damaged))
    assert code == 1 and tar.name in text and "problems" in messages


@pytest.mark.parametrize("command", SCHEMAS)
def test_every_recipe_of_the_project_can_be_read(command: str) -> None:
    folder = ROOT / "configs" / {"data shard": "data"}.get(command, command)
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
        load_config(command, path, ["data.root=x"] if command == "pipeline" else [])


def test_the_reference_of_recipes_is_current() -> None:
    page = (ROOT / "docs/config.md").read_text()
    assert page == reference.markdown(), "run: python -m launch.recipes.reference > docs/config.md"


def test_keys_lists_defaults_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["pretrain", "--keys"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert "train.steps=1000" in text and "minilm_cpu" in text


def test_our_own_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("launch.recipes.commands.load_config", broken)
    with pytest.raises(KeyError):
        main(["pretrain", DEMO, "--print-config"])


def test_parser_has_no_command_without_a_function() -> None:
    parsed = build_parser().parse_args(["bench", "loader", "x"])
    assert callable(parsed.run)


def test_long_commands_of_the_help_go_on_in_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of([], capsys)
    assert "data.shards=runs/first/shards \\\n      run.root=runs/first" in text
    assert max(map(len, text.splitlines())) < 115
