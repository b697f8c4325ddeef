"""`mmfm notes graph` at the command line."""

from __future__ import annotations

import pytest

from launch.cli import main


def test_a_subclass_of_two_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notes", "graph", "blue", "nevus"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("blue nevus, a melanocytic nevus; ICD-10 D22.9\n  shows")
    assert "Di Cesare A" in text


def test_an_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notes", "graph"]) == 0
    assert "lentigo maligna" in capsys.readouterr().out


def test_an_unknown_disease_is_a_mistake_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notes", "graph", "melanomma"]) == 2
    assert "Did you mean melanoma?" in capsys.readouterr().err
