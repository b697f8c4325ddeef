"""What sides share, for people: a table on the terminal, and a CSV or HTML file with all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_tools.leaks.compare import NEAR, Finding, Shared
from data_tools.leaks.sides import Sides
from mmfm.errors import ConfigError
from mmfm.evaluation.thumbnail import thumbnail
from mmfm.files import write_atomically
from mmfm.reports.pages import BASE_STYLE, file_text, page_templates

OWN = "data_tools.leaks"
COLUMNS = ("kind", "leaks", "side_a", "sample_a", "side_b", "sample_b", "shared")
EXAMPLES = 3  # of each finding on the terminal
PICTURES = 24  # pairs of pictures of each finding in the page
THUMBNAIL = 160  # pixels
SHOWN = 100  # letters of a shared note on the terminal


def print_findings(sides: Sides, findings: Sequence[Finding]) -> None:
    """Print counts by kind and pair of sides, with examples."""
    console = Console(highlight=False, markup=False, emoji=False)  # folders and texts are no markup
    if not findings:
        names = ", ".join(side.name for side in sides.sides)
        console.print(f"nothing is shared between {names} ({len(sides.samples)} samples)")
        return
    table = Table(title="shared between splits", title_justify="left")
    for name in ("kind", "between", "shared", "samples", "leak"):
        table.add_column(name, justify="right" if name in ("shared", "samples") else "left")
    for found in findings:
        counts = " + ".join(str(len(samples)) for samples in found.samples)
        told = "LEAK" if found.leaks else "-"
        table.add_row(found.kind, _between(sides, found), str(len(found.shared)), counts, told)
    console.print(table)
    for found in findings:
        console.print(f"{found.kind}, {_between(sides, found)}:")
        for shared in found.shared[:EXAMPLES]:
            keys = " = ".join(_key(sides, place) for place in (shared.first, shared.second))
            console.print(f"  {keys}  ({shared.detail[:SHOWN]})")


def check_output(path: Path) -> None:
    """Raise `ConfigError` unless the file's name says what to write."""
    if path.suffix.lower() not in (".csv", ".html"):
        raise ConfigError(f"--output {path}: its name ends in .csv or .html")


def write_findings(sides: Sides, findings: Sequence[Finding], path: Path) -> None:
    """Write all that is shared, as CSV or HTML by the file's name. Raises as `check_output`."""
    check_output(path)
    write_atomically(path, _csv(sides, findings) if path.suffix.lower() == ".csv" else _html(sides, findings))


def _csv(sides: Sides, findings: Sequence[Finding]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for found in findings:
        a, b = (sides.sides[number].name for number in (found.first, found.second))
        told = "yes" if found.leaks else "no"
        for shared in found.shared:
            keys = _key(sides, shared.first), _key(sides, shared.second)
            writer.writerow((found.kind, told, a, keys[0], b, keys[1], shared.detail))
    return text.getvalue()


def _html(sides: Sides, findings: Sequence[Finding]) -> str:
    found = [
        {
            "finding": finding,
            "between": _between(sides, finding),
            "examples": [_example(sides, finding, shared) for shared in finding.shared[:PICTURES]],
        }
        for finding in findings
    ]
    counts = [(side.name, len(side.split)) for side in sides.sides]
    templates = page_templates(OWN, css=file_text(*BASE_STYLE) + file_text(OWN, "templates/leaks.css"))
    return templates.get_template("leaks.html.j2").render(found=found, counts=counts)


def _example(sides: Sides, finding: Finding, shared: Shared) -> dict[str, object]:
    keys = [_key(sides, place) for place in (shared.first, shared.second)]
    pictures = []
    if finding.kind == NEAR or finding.leaks:
        places = (shared.first, shared.second)
        pictures = [thumbnail(sides.image(sides.samples[place]), THUMBNAIL) for place in places]
    return {"keys": keys, "pictures": pictures, "detail": shared.detail}


def _between(sides: Sides, found: Finding) -> str:
    return f"{sides.sides[found.first].name} and {sides.sides[found.second].name}"


def _key(sides: Sides, place: int) -> str:
    return sides.samples[place].record.key
