"""What came of a sweep: a table with a row for each member, on the terminal and as outcomes.csv."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from launch.pipelines.records import Records, Stage
from mmfm.files import write_atomically
from mmfm.reports.findings import headlines
from mmfm.reports.runs import Run, find_runs

FILE = "outcomes.csv"
LAST_STEPS = 10  # logged steps over which the loss is averaged: single ones jump


@dataclass(frozen=True)
class Outcomes:
    """The table: column titles, and a row of texts for each member."""

    columns: list[str]
    rows: list[list[str]]

    @classmethod
    def of(cls, records: Records) -> Outcomes:
        """What is known of a sweep's members now."""
        members = list(records.stages.values())
        found = [_numbers(stage, _run_of(records.folder / stage.name)) for stage in members]
        measured = list(dict.fromkeys(name for numbers in found for name in numbers))
        keys = list(members[0].values)
        rows = []
        for stage, numbers in zip(members, found, strict=True):
            status = records[stage.name].status
            known = [stage.values[key] for key in keys] + [status.name or "not begun", status.job]
            rows.append([*known, *(numbers.get(name, "") for name in measured), status.cause])
        return cls([*keys, "state", "job", *measured, "cause"], rows)

    def table(self) -> Table:
        """For the terminal, without columns in which nothing stands."""
        shown = Table(box=None, padding=(0, 2, 0, 0))
        filled = [number for number in range(len(self.columns)) if any(row[number] for row in self.rows)]
        for number in filled:
            shown.add_column(self.columns[number])
        for row in self.rows:
            shown.add_row(*(escape(row[number]) for number in filled))
        return shown

    def write(self, folder: Path) -> Path:
        """Write the table as CSV and return its path."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        write_atomically(folder / FILE, text.getvalue())
        return folder / FILE


def _run_of(folder: Path) -> Run | None:
    found = find_runs(folder) if folder.is_dir() else []
    return next((run for run in found if run.folder == folder), None)


def _numbers(stage: Stage, run: Run | None) -> dict[str, str]:
    """What a member's run folder tells: how far it is, its loss and speed, its main results in-domain."""
    if run is None:
        return {}
    numbers = {}
    if run.metrics:
        last = run.metrics[-LAST_STEPS:]
        numbers["step"] = str(run.metrics[-1]["step"])
        numbers["loss"] = f"{sum(line['loss'] for line in last) / len(last):.4f}"
        numbers["samples/s"] = f"{run.metrics[-1]['samples_per_s']:.0f}"
    for found in headlines([run]):
        if not found.result.slice.shift:
            numbers.setdefault(
                f"{found.suite.name}: {found.result.label}", f"{100 * found.result.value:.1f}%"
            )
    return numbers
