"""Prompts: Jinja templates beside this file, named STRATEGY.vVERSION.PART.j2.

A template is never changed once notes have been written with it: a new wording is a new file with the next
version, so that the notes of both can be told apart. `tests/data_tools/notes/test_prompts.py` holds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent


def render(strategy: str, version: str, part: str, context: dict[str, Any]) -> str:
    """The `part` ("system", "user") of a prompt. A name that `context` lacks raises: no blank is left."""
    template = _environment().get_template(f"{strategy}.v{version}.{part}.j2")
    return template.render(context).strip()


def listed(words: Sequence[str], last: str = "and") -> str:
    """`words` as they are listed in a sentence: "a", "a and b", "a, b and c"; `last` may be "or"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@cache
def _environment() -> Environment:
    environment = Environment(  # prompts are plain text: nothing is escaped
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["listed"] = listed
    return environment
