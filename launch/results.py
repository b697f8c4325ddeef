"""Results on the terminal: the few that count at the end of a pipeline, all of them after an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmfm.evaluation.results import ALL, Result, print_table, read_results

BALANCED = "balanced_accuracy"
RETRIEVAL = "recall_at_10"
MAIN_DIRECTION = "image to note"
SUITE_ORDER = ("zeroshot", "retrieval", "probe", "classify")


@dataclass(frozen=True)
class Found:
    """One result, with the run and the suite that it comes from."""

    run: str
    suite: str
    result: Result


def print_headline(folder: Path) -> None:
    """Print the main results of the runs below `folder`, and the report's path if there is one."""
    found = [
        Found(path.parents[2].name, path.stem, r) for path in suite_files(folder) for r in read_results(path)
    ]
    rows = headline(found)
    if rows:
        Console().print(_table(rows))
    report = folder / "report.html"
    if report.is_file():
        print(f"report: {report.absolute()}")


def print_suites(folder: Path) -> None:
    """Print all results of the newest evaluation of one run."""
    for path in suite_files(folder):
        print_table(path.stem, read_results(path))


def suite_files(folder: Path) -> list[Path]:
    """Result files of the newest evaluation of the run `folder`, or of each run in it."""
    runs = [run for run in (folder, *sorted(folder.iterdir())) if (run / "evals").is_dir()]
    files = [path for run in runs for path in _newest(run / "evals").glob("*.json")]
    order = {suite: number for number, suite in enumerate(SUITE_ORDER)}
    return sorted(files, key=lambda path: (order.get(path.stem, len(order)), path))


def headline(found: Iterable[Found]) -> list[Found]:
    """Balanced accuracy and R@10, once for the sets trained on and once for each set under shift."""
    main = [one for one in found if _is_main(one.result)]
    return [one for one in main if one.result.slice.shift or _stands_for_all(one, main)]


def _is_main(result: Result) -> bool:
    return result.metric == BALANCED or (result.metric == RETRIEVAL and result.direction == MAIN_DIRECTION)


def _stands_for_all(one: Found, main: list[Found]) -> bool:
    """Whether it is the aggregate, or there is no aggregate of its kind."""
    kind = (one.run, one.suite, one.result.metric)
    aggregates = {(o.run, o.suite, o.result.metric) for o in main if o.result.slice.dataset == ALL}
    return one.result.slice.dataset == ALL or kind not in aggregates


def _table(rows: list[Found]) -> Table:
    table = Table(
        title="Results, 95% intervals by bootstrap", title_justify="left", box=None, padding=(0, 1, 0, 0)
    )
    table.add_column("Suite", no_wrap=True)
    table.add_column("Metric")
    table.add_column("Measured on", min_width=17)
    for column in ("n", "Value", "95% interval", "Chance"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.suite, row.result.label, _where(row.result), *_numbers(row.result))
    return table


def _where(result: Result) -> str:
    return f"{result.slice.name} (shift)" if result.slice.shift else result.slice.name


def _numbers(result: Result) -> Iterator[str]:
    yield str(result.n)
    yield f"{100 * result.value:.1f}%"
    yield f"{100 * result.low:.1f} to {100 * result.high:.1f}%"
    yield f"{100 * result.chance:.1f}%"


def _newest(evaluations: Path) -> Path:
    return max(evaluations.glob("step_*"), default=evaluations)
