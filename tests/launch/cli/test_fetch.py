"""`mmfm data fetch` and `mmfm data patches`, as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_tools.fetch import DatasetEntry
from launch.cli import main
from mmfm.errors import DataError


def test_the_list_and_what_a_person_must_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "ham10000: HAM10000" in listed and "derm7pt" in listed and "CC-BY-NC-4.0" in listed
    assert "1.5 GB; downloaded, but for what a person must ask for; https://github.com/mattgroh" in listed
    assert main(["data", "fetch", "derm7pt", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert "left for a person to do:" in said and "lacks meta/meta.csv" in said and "  1. " in said
    for name in ("meta/meta.csv", "meta/train_indexes.csv", "images/a.jpg"):
        (tmp_path / "derm7pt" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "derm7pt" / name).write_text("")
    assert main(["data", "fetch", "derm7pt", "--output", str(tmp_path)]) == 0
    assert "- {kind: derm7pt, images: images, root: derm7pt}" in capsys.readouterr().out


def test_a_data_set_that_fails_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(entry: DatasetEntry, output: Path, keep: bool) -> list[str]:
        if entry.name == "ham10000":
            raise DataError("no server")
        return []

    monkeypatch.setattr("data_tools.fetch.fetch", fetch)
    assert main(["data", "fetch", "ham10000", "milk10k", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "milk10k: complete" in said.out and "{kind: milk10k, root: milk10k}" in said.out
    assert said.err == "mmfm: error: no server\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch"], "needs names of data sets and --output"),
        (["fetch", "ham10000"], "needs names of data sets and --output"),
        (["fetch", "ham", "--output", "x"], "no data set 'ham'"),
        (["patches", "nowhere.yaml"], "nowhere.yaml not found"),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words]) == 2
    assert said in capsys.readouterr().err


def test_patches_are_listed_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "patches"]) == 0
    said = capsys.readouterr().out
    assert "fluo-sc-cce (version 1), fluo_sc" in said and "label: SCC" in said and "78 in fluo_sc" in said
    assert "label: unlabelled" in said and "reason: CCE is the publishers' code" in said
