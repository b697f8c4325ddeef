"""The examples in the help texts: each can be typed as it stands."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.cli.entry import _parse, build_parser
from launch.pipelines.pipeline import load_pipeline, load_stages
from launch.recipes.commands import SCHEMAS, check_required, load_config

ROOT = Path(__file__).parents[3]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def examples() -> list[str]:
    """Command lines in the help texts, without the column of explanations after some."""
    texts = [re.sub(r"\\\n\s*", "", parser.epilog or "") for parser in parsers(build_parser())]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.startswith("  mmfm ")]
    return sorted({re.split(r"\s{3,}", line)[0] for line in lines})


@pytest.mark.parametrize("line", examples())
def test_examples_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)[1:]
    args = _parse(build_parser(), words)
    command = " ".join(word for word in (args.command, getattr(args, "action", "")) if word)
    if command == "pipeline":
        load_stages(load_pipeline(Path(args.recipe), args.overrides), Path(args.recipe))
    elif command in SCHEMAS and hasattr(args, "recipe"):
        check_required(command, load_config(command, args.recipe, args.overrides))


def test_there_are_examples_of_each_command_with_a_recipe() -> None:
    typed = {shlex.split(line)[1] for line in examples()}
    assert {"pretrain", "finetune", "evaluate", "pipeline", "data", "report"} <= typed
