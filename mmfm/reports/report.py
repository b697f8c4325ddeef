"""`write_report`: one self-contained HTML page about a run or a pipeline of runs."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment
from omegaconf import OmegaConf

import mmfm
from mmfm.evaluation.results import dataset_name
from mmfm.files import write_atomically
from mmfm.reports import findings, gallery, protocol, summary, tables
from mmfm.reports import format as fmt
from mmfm.reports.pages import BASE_STYLE, file_text, page_templates
from mmfm.reports.runs import Run, read_runs
from mmfm.reports.shards import ShardsView, read_shards
from mmfm.taxonomy import CLASSES, CODES

NAME = "report.html"


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a run folder, or of a folder that holds several, and return its path.

    `output` defaults to `folder`/report.html. Parts that do not exist yet are left out with a sentence.
    Raises `DataError` when `folder` holds no run, or names the file in it that cannot be read.
    """
    folder = Path(folder)
    runs = read_runs(folder)
    html = render(folder, runs, read_shards(folder, runs))
    output = Path(output) if output is not None else folder / NAME
    write_atomically(output, html)
    return output


def render(folder: Path, runs: list[Run], shards: ShardsView | None) -> str:
    """The page as text."""
    slices, columns = findings.overview(runs)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=folder.resolve().name,
            written=datetime.datetime.now().astimezone().strftime("%-d %B %Y, %H:%M"),
            version=mmfm.__version__,
            kinds=summary.kinds(runs),
            sentences=summary.sentences(runs, shards),
            cards=summary.cards(runs),
            runs=runs,
            shards=shards,
            settings=tables.settings(runs),
            environments=tables.environments(runs),
            configs=[
                (run.name, OmegaConf.to_yaml(OmegaConf.create(run.config))) for run in runs if run.config
            ],
            curves=[(run, summary.training_line(run), tables.curves(run)) for run in runs if run.metrics],
            slices=slices,
            columns=columns,
            suites=[
                (run, suite, tables.blocks(suite), tables.class_recalls(suite))
                for run in runs
                for suite in run.suites
            ],
            confusion=tables.matrices(runs),
            gallery=gallery.queries(runs),
            suite_notes=protocol.suite_notes(runs),
            metric_notes=protocol.metric_notes(runs),
            general_notes=protocol.general_notes(runs),
        )
    )


def _environment() -> Environment:
    helpers: dict[str, Any] = {
        "css": file_text(*BASE_STYLE),
        "fmt": fmt,
        "quote": summary.quote,
        "dataset_name": dataset_name,
        "class_names": dict(zip(CODES, (lesion.name for lesion in CLASSES), strict=True)),
        "is_main": findings.is_main,
    }
    return page_templates("mmfm.reports", **helpers)
