"""The names of notes."""

import pytest

from data_tools.notes import STRATEGIES, strategy_of, write_notes
from mmfm.errors import ConfigError
from mmfm.records import Record


def test_names_are_those_of_the_table() -> None:
    for name, strategy in STRATEGIES.items():
        assert strategy.name == name
        assert "-" not in name
        assert strategy.version


@pytest.mark.parametrize(("note", "strategy", "writer"), [("M", "M", ""), ("R", "R", "")])
def test_strategy_and_writer(note: str, strategy: str, writer: str) -> None:
    assert strategy_of(note) == (STRATEGIES[strategy], writer)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("P1", "'P1' is not a strategy; those are M, "),
        ("m", "Did you mean M?"),
        ("", "'' is not a strategy"),
        ("M-", "name of a writer is missing"),
        ("M-gpt", "M is written without a language model; write M"),
    ],
)
def test_names_that_are_refused(note: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy_of(note)
    with pytest.raises(ConfigError, match=message):
        write_notes(Record("a", "0", "clinical"), ["M", note])
