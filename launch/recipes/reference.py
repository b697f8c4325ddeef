"""The reference of all recipes, from the dataclasses: text for --keys, and docs/config.md.

python -m launch.recipes.reference > docs/config.md
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any

from launch.recipes.commands import SCHEMAS
from launch.start.job import resolve

REQUIRED = "???"  # OmegaConf's mark of a value that must be given

TITLES = {
    "data demo": "The drawn demo set, as a stage of a pipeline",
    "report": "The report, as a stage of a pipeline",
}
INTRODUCTION = """\
# Recipes: every key

Generated from the dataclasses by `python -m launch.recipes.reference > docs/config.md`; a test holds it so.

A recipe is a small YAML file in `configs/` that says what differs from these defaults. On the command line,
`key=value` words with dots go over the recipe: `train.steps=500`. `--print-config` prints the merged config,
`--keys` prints a command's part of this page.
"""


@dataclass(frozen=True)
class Key:
    """One setting."""

    name: str  # dotted
    kind: str  # its type, in words
    default: str
    help: str


@dataclass(frozen=True)
class Group:
    """The settings below one prefix."""

    prefix: str  # "" at the top, else with dots between
    purpose: str
    keys: list[Key]


def groups(schema: type, prefix: str = "") -> Iterator[Group]:
    """The groups of a schema's keys, outer before inner, in the order of the dataclasses."""
    hints = typing.get_type_hints(schema)
    plain = [spec for spec in fields(schema) if not is_dataclass(hints[spec.name])]
    if plain:
        keys = [_key(spec, hints[spec.name], prefix) for spec in plain]
        yield Group(prefix.rstrip("."), _purpose(schema), keys)
    for spec in fields(schema):
        if is_dataclass(hints[spec.name]):
            yield from groups(typing.cast(type, hints[spec.name]), f"{prefix}{spec.name}.")
    for spec in plain:  # a list or mapping of dataclasses: `sources[].kind`, `stages.NAME.command`
        inner = typing.get_args(hints[spec.name])
        if inner and is_dataclass(inner[-1]):
            mark = "[]" if typing.get_origin(hints[spec.name]) is list else ".NAME"
            yield from groups(typing.cast(type, inner[-1]), f"{prefix}{spec.name}{mark}.")


def describe(schema: type) -> str:
    """The keys of a schema as text: one line each, with default and meaning."""
    lines: list[str] = []
    for group in groups(schema):
        lines += ["", f"{group.prefix or 'top level'}: {group.purpose}"]
        width = max(len(f"{key.name}={key.default}") for key in group.keys)
        lines += [f"  {f'{key.name}={key.default}':<{min(width, 44)}}  {key.help}" for key in group.keys]
    return "\n".join(lines[1:])


def markdown() -> str:
    """The whole of docs/config.md."""
    parts = [INTRODUCTION]
    told: dict[str, str] = {}
    for command, reference in SCHEMAS.items():
        title = TITLES.get(command, f"`mmfm {command}`")
        parts.append(f"## {title}\n")
        if other := told.setdefault(reference, command) != command and told[reference]:
            parts.append(f"Reads the recipe of `mmfm {other}`.\n")
            continue
        parts += [_table(group) for group in groups(resolve(reference))]
    return "\n".join(parts)


def _table(group: Group) -> str:
    rows = [f"| `{key.name}` | {key.kind} | `{key.default}` | {_cell(key.help)} |" for key in group.keys]
    heading = f"### {group.prefix}\n\n" if group.prefix else ""
    return "\n".join(
        [f"{heading}{group.purpose}\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _key(spec: Field[Any], hint: Any, prefix: str) -> Key:
    choices = spec.metadata.get("choices", ())
    meaning = spec.metadata.get("help", "")
    if choices:
        meaning = f"{meaning}: {', '.join(choices)}"
    return Key(f"{prefix}{spec.name}", _kind(hint), _default(spec), meaning)


def _default(spec: Field[Any]) -> str:
    value = spec.default_factory() if spec.default_factory is not NO_DEFAULT else spec.default
    if value == REQUIRED:
        return "(required)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return '""' if value == "" else str(value)


def _kind(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if not arguments:
        return {"str": "text", "int": "integer", "float": "number", "bool": "true/false"}.get(
            hint.__name__, "group"
        )
    return f"list of {_kind(arguments[0])}" if len(arguments) == 1 else "mapping"


def _purpose(schema: type) -> str:
    return (schema.__doc__ or "").strip().splitlines()[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
