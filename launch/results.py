"""Results on the terminal: the few that count at the end of a pipeline, all of them after an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmfm.evaluation.results import Result, print_table
from mmfm.evaluation.suitefile import read_suite
from mmfm.reports.findings import Found, headlines
from mmfm.reports.runs import find_runs


def print_headline(folder: Path) -> None:
    """Print the main results of the runs in `folder`, and the report's path if there is one."""
    rows = headlines(find_runs(folder))
    if rows:
        Console().print(_table(rows))
    report = folder / "report.html"
    if report.is_file():
        print(f"report: {report.absolute()}")


def print_suites(paths: Sequence[Path]) -> None:
    """Print all results of the suites' files at `paths`."""
    for path in paths:
        suite = read_suite(path)
        print_table(suite.name, suite.outcome.results)


def _table(rows: list[Found]) -> Table:
    """A row for each result; the run is named where several runs have results of one suite."""
    runs_of = Counter(suite for suite, _ in {(row.suite.name, row.run.name) for row in rows})
    named = max(runs_of.values()) > 1
    table = Table(
        title="Results, 95% intervals by bootstrap", title_justify="left", box=None, padding=(0, 1, 0, 0)
    )
    if named:
        table.add_column("Run")
    table.add_column("Suite", no_wrap=True)
    table.add_column("Metric")
    table.add_column("Measured on", min_width=17)
    for column in ("n", "Value", "95% interval", "Chance"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = (row.suite.name, row.result.label, row.result.slice.shown, *_numbers(row.result))
        table.add_row(*([row.run.name] if named else []), *cells)
    return table


def _numbers(result: Result) -> Iterator[str]:
    yield str(result.n)
    yield f"{100 * result.value:.1f}%"
    yield f"{100 * result.low:.1f} to {100 * result.high:.1f}%"
    yield f"{100 * result.chance:.1f}%"
