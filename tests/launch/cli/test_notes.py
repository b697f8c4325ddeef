"""`mmfm notes`: written, listed and shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakewriter import FakeBackend, agree

from data_tools.notes import writing
from data_tools.notes.backends import Answer, Failure, Request
from data_tools.notes.lines import encode
from launch.cli import main

RECIPE = str(Path(__file__).parents[3] / "configs/data/demo.yaml")


@pytest.fixture
def words(raw_folder: Path, tmp_path: Path) -> list[str]:
    """Recipe and overrides: notes M and S2 of the drawn set."""
    where = [f"root={raw_folder}", f"store={tmp_path / 'store'}"]
    return [RECIPE, *where, "notes=[M,S2,R]", "writers.default.model=fake/model"]


def half(request: Request) -> Answer | Failure:
    return agree(request) if request.key < "8" else Failure(request.key, "refused", "I cannot")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["notes", *words]) == 0
    return capsys.readouterr().out


def test_write_list_and_show(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeBackend(half)
    monkeypatch.setattr(writing, "backend_of", lambda writer, prepare: model)
    store = str(tmp_path / "store")
    shown = run(capsys, "show", *words, "--count", "4")
    assert shown.count("  S2  (not written yet)") == 8 and "  R  (the note of another lesion" in shown
    told = run(capsys, "write", *words)
    failed = sum(request.key >= "8" for request in model.asked)
    assert f"{160 - failed} notes written, 0 were there; {failed} failed (refused {failed})" in told
    assert f"what they were: mmfm notes list {store}" in told
    skipped = run(capsys, "write", *words, "--skip-failed")
    assert f"{failed} failed before and were left out" in skipped and len(model.asked) == 160
    row = run(capsys, "list", store).splitlines()[1].split()
    assert row[:5] == ["S2", "fake/model", str(160 - failed), "0", str(failed)]
    assert row[5:] == [
        f"{10 * (160 - failed):,}",
        str(5 * (160 - failed)),
        f"{(160 - failed) / 4:.2f}",
        "refused",
        str(failed),
    ]
    shown = run(capsys, "show", *words, "--count", "4")
    assert "  S2  A lesion with an even border" in shown and "  S2  (failed: refused: I cannot)" in shown


def test_prompts_are_shown_without_a_model_or_a_store(
    raw_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [RECIPE, f"root={raw_folder}", "notes=[M,OL,K-default]", "--count", "1", "--prompts"]
    shown = run(capsys, "show", *words)
    assert shown.count("OL is asked, with the picture:\n    | system: ") == 2
    assert shown.count("K-default is asked") == 2 and "None" not in shown


def test_a_writer_that_the_recipe_lacks_is_named_before_tables_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["notes", "show", RECIPE, f"root={tmp_path / 'no data'}", "writers.one.model=a"]
    assert main([*words, "notes=[M,L1-medgema]"]) == 2
    assert "written by the writer 'medgema', but the recipe has one" in capsys.readouterr().err
    assert main(["notes", "audit", *words[2:], "notes=[L1-one]", f"store={tmp_path / 'nostore'}"]) == 2
    assert f"there is no store {tmp_path / 'nostore'}" in capsys.readouterr().err


def test_a_store_that_is_none_and_damaged_lines_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notes", "list", str(tmp_path)]) == 2
    assert "holds no notes" in capsys.readouterr().err
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.jsonl").write_bytes(encode({"key": "k"}).replace(b'"k"', b'"l"'))
    assert "1 damaged lines are passed over" in run(capsys, "list", str(tmp_path))
