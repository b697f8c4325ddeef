"""Numbers on the command line that cannot be meant."""

from __future__ import annotations

import pytest

from launch.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data ls x --limit -1", "--limit: -1 is too small: at least 0"),
        ("data demo x --images 0", "--images: 0 is too small: at least 1"),
        ("data demo x --seed -1", "--seed: -1 is too small: at least 0"),
        ("bench loader x --batch 0", "--batch: 0 is too small: at least 1"),
        ("bench loader x --rounds few", "--rounds: 'few' is no whole number"),
    ],
)
def test_impossible_numbers_are_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words.split())
    assert left.value.code == 2
    assert message in capsys.readouterr().err
