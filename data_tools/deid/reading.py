"""The texts of files: JSON, JSON lines, CSV and TSV by field, plain text by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfm.errors import DataError

TABLES = {".csv": ",", ".tsv": "\t"}
PLAIN = (".txt", ".md")
SUFFIXES = (".json", ".jsonl", *TABLES, *PLAIN)
LONGEST_CELL = 10_000_000  # letters


@dataclass(frozen=True)
class Text:
    """A text of a file: the row, line or element it stands in, counted from 1, and its field."""

    file: str
    row: int
    field: str
    text: str


def text_files(paths: Collection[Path]) -> list[Path]:
    """The files among `paths`, and those below folders among them, that can be read as text.

    Raises `DataError` for a path that is not there, is of another kind, or holds no such file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not found:
                raise DataError(f"{path} holds no file that ends in {', '.join(SUFFIXES)}")
            files += found
        elif not path.is_file():
            raise DataError(f"{path} not found")
        elif path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: texts are read from files that end in {', '.join(SUFFIXES)}")
        else:
            files.append(path)
    return files


def read_texts(path: Path, fields: Collection[str]) -> Iterator[Text]:
    """The texts of a file; of tables and JSON only those of `fields`, where some are named.

    Raises `DataError` for a file that cannot be read, naming the line.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in TABLES:
            yield from _table(path, fields, TABLES[suffix])
        elif suffix in PLAIN:
            with path.open(encoding="utf-8-sig") as file:
                for row, line in enumerate(file, start=1):
                    yield Text(str(path), row, "", line)
        else:
            yield from _json(path, fields, suffix == ".jsonl")
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _table(path: Path, fields: Collection[str], delimiter: str) -> Iterator[Text]:
    csv.field_size_limit(LONGEST_CELL)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        for row, cells in enumerate(reader, start=2):
            for name, cell in cells.items():
                if isinstance(cell, str) and (not fields or name in fields):
                    yield Text(str(path), row, name or "", cell)


def _json(path: Path, fields: Collection[str], by_line: bool) -> Iterator[Text]:
    with path.open(encoding="utf-8-sig") as file:
        lines = enumerate(file, start=1) if by_line else [(0, file.read())]
        for number, line in lines:
            try:
                content = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                place = f"line {number} of {path}" if by_line else str(path)
                raise DataError(f"{place} is no JSON: {error}") from error
            elements = content if isinstance(content, list) and not by_line else [content]
            for row, element in enumerate(elements, start=number or 1):
                for name, text in _strings(element, ""):
                    if not fields or name in fields:
                        yield Text(str(path), row, name, text)


def _strings(content: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every string and whole number in JSON, with the nearest name above it."""
    if isinstance(content, str):
        yield name, content
    elif isinstance(content, int) and not isinstance(content, bool):
        yield name, str(content)
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _strings(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from _strings(value, name)
