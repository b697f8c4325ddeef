"""Parts that the subcommands' parsers share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

OVERRIDES_HELP = (
    "key=value with dots (train.steps=500), over the recipe; also cluster=NAME for configs/cluster/NAME.yaml"
)


def add_command(commands: Any, name: str, purpose: str, examples: str = "") -> argparse.ArgumentParser:
    """Add a subcommand with a one-line purpose and, below its options, examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """An option's type: whole numbers from `least` on."""

    def number(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word!r} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small: at least {least}")
        return value

    return number


def add_recipe(parser: argparse.ArgumentParser, command: str, optional: bool = False) -> None:
    """Add RECIPE, overrides, --print-config and --keys. `command` names the schema for --keys.

    With `optional`, `recipe` may be None: for a command that has something to do without one.
    """
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?" if optional else None,
        help="YAML file; what it leaves out keeps its default",
    )
    parser.add_argument("overrides", metavar="key=value", nargs="*", default=[], help=OVERRIDES_HELP)
    parser.add_argument(
        "--print-config", action="store_true", help="print the merged config as YAML and leave"
    )
    parser.add_argument(
        "--keys", action=ShowKeys, command=command, help="list all keys with defaults and leave"
    )


class ShowKeys(argparse.Action):
    """--keys: print the reference of a command's recipe, whatever else was given."""

    def __init__(self, option_strings: list[str], dest: str, command: str, **rest: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **rest)
        self.command = command

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        """Print and leave."""
        from launch.recipes.commands import PRESET_COMMANDS, SCHEMAS
        from launch.recipes.reference import describe
        from launch.start.job import resolve

        print(describe(resolve(SCHEMAS[self.command])))
        if self.command in PRESET_COMMANDS:
            print(f"\nvalues of model.preset: {', '.join(resolve('mmfm.models.presets:PRESETS'))}")
        parser.exit()
