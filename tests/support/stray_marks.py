"""Marks that a value leaves behind where it is missing from a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Empty brackets or quotes, a mark after a blank, two marks or blanks, what a program prints for "none".
STRAY = re.compile(
    r'\(\s*\)|\[\s*\]|""|  |\s[.,;:!?)]|[.,;:]{2}|[{}]|\n\n\n'
    r"|\bNone\b|\bnan\b|\bundefined\b|\bunknown\b|indeterminate"
)


def stray_marks(text: str) -> Iterator[str]:
    """What is wrong with `text`: marks, lines of marks alone or that break off, headings above nothing."""
    for match in STRAY.finditer(text):
        yield repr(match[0])
    lines = text.split("\n")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line != line.strip() or re.fullmatch(r"[\s\W]+", line) or re.search(r"[-–,(]$", line):
            yield f"line {line!r}"
        if line.endswith(":") and not following:
            yield f"nothing below {line!r}"
