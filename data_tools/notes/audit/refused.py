"""A refused note as a line of a JSON file: whole, with the reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from data_tools.notes.audit.findings import Audit
from mmfm.records import Note


def refused_line(key: str, name: str, note: Note, audit: Audit, reasons: list[str]) -> dict[str, Any]:
    """What is kept of the refused note `name`; `key` is that of its record."""
    return {
        "key": key,
        "note": name,
        "reasons": reasons,
        "findings": [asdict(finding) for finding in audit.findings],
        "text": note.text,
        "provenance": note.provenance,
    }


def json_lines(lines: Iterable[dict[str, Any]]) -> str:
    """The lines as text, the same for the same notes."""
    return "".join(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in lines)
