from __future__ import annotations

import pytest

from mmfm import progress


def test_items_pass_through_and_a_log_gets_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    assert list(progress.track([1, 2, 3], "counting")) == [1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "counting: 1 of 3"
    assert lines[-1].startswith("counting: 3 done in")


def test_an_unknown_total_is_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(iter("ab"), "reading")) == ["a", "b"]
    assert "reading: 2 done" in capsys.readouterr().err
