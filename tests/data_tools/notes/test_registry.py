"""The names of notes."""

import pytest

from data_tools.notes.registry import STRATEGIES, strategy_of, write_notes
from data_tools.notes.strategy import Settings
from mmfm.errors import ConfigError
from mmfm.records import Record


def test_names_are_those_of_the_table() -> None:
    for name, strategy in STRATEGIES.items():
        assert strategy.name == name
        assert "-" not in name
        assert strategy.version


def test_what_each_strategy_is() -> None:
    labels = {name: strategy.label for name, strategy in STRATEGIES.items()}
    assert {name for name, label in labels.items() if label == "given"} == {"M", "L1", "L2", "S1", "D1", "K"}
    assert {name for name, label in labels.items() if label == "guessed"} == {"OL", "D2", "R"}
    assert {name for name, label in labels.items() if label == "hidden"} == {"S2"}
    assert {name for name, one in STRATEGIES.items() if not one.needs_model} == {"M", "K", "R"}


@pytest.mark.parametrize(
    ("note", "strategy", "writer"),
    [
        ("M", "M", ""),
        ("R", "R", ""),
        ("L1", "L1", "default"),
        ("L1-medgemma", "L1", "medgemma"),
        ("D2-a-b", "D2", "a-b"),
        ("K", "K", ""),
        ("K-default", "K", "default"),
    ],
)
def test_strategy_and_writer(note: str, strategy: str, writer: str) -> None:
    assert strategy_of(note) == (STRATEGIES[strategy], writer)


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("P1", "'P1' is not a strategy; those are M, "),
        ("m", "Did you mean M?"),
        ("l1-medgemma", "Did you mean L1-medgemma?"),
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


def test_only_templates_are_written_here() -> None:
    notes = write_notes(Record("a", "0", "clinical", label=6), ["M", "L1", "K", "K-gpt", "R"])
    assert list(notes) == ["M", "K"]


@pytest.mark.parametrize("name", ["M", "R"])
def test_no_model_is_asked_for_templates(name: str) -> None:
    with pytest.raises(AssertionError, match="written by template"):
        STRATEGIES[name].prompt(Record("a", "0", "clinical"), Settings())
    with pytest.raises(AssertionError, match="needs a language model"):
        STRATEGIES["L1"].write(Record("a", "0", "clinical"), Settings())
