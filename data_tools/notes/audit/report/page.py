"""`write_report`: the page itself."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

import mmfm
from data_tools.config import ShardsConfig
from data_tools.notes.audit.cards import ScoreCard
from data_tools.notes.audit.report import tables, words
from data_tools.notes.audit.report.examples import FINDINGS, AuditedLesion, make_examples
from mmfm.evaluation.results import dataset_name
from mmfm.files import write_atomically
from mmfm.reports import format as fmt
from mmfm.reports.pages import BASE_STYLE, file_text, page_templates
from mmfm.taxonomy import CLASSES

OWN = "data_tools.notes.audit.report"


def write_report(
    path: Path, title: str, lesions: Sequence[AuditedLesion], cards: Sequence[ScoreCard], cfg: ShardsConfig
) -> Path:
    """Write the page of an audit and return its path. It needs nothing from outside, nor a server."""
    write_atomically(path, render(title, lesions, cards, cfg))
    return path


def render(
    title: str, lesions: Sequence[AuditedLesion], cards: Sequence[ScoreCard], cfg: ShardsConfig
) -> str:
    """The page as text."""
    examples = make_examples(lesions, cfg.prepare.max_pixels)
    measures = tables.measures(cards)
    grouped = tables.subgroup_tables(cards)
    return (
        _environment()
        .get_template("audit.html.j2")
        .render(
            title=title,
            written=datetime.datetime.now().astimezone().strftime("%-d %B %Y, %H:%M"),
            version=mmfm.__version__,
            sentences=sentences(lesions, cards),
            cards=cards,
            measures=measures,
            means=tables.means(cards),
            kinds=[kind for kind in measures if kind in words.GROUP_OF and kind not in tables.MEANS],
            tables=grouped,
            cells=tables.all_cells(grouped, measures),
            examples=examples,
            filters=_filters(examples),
            exempt=set(cfg.audit.exempt),
            rules=words.rules(cfg.audit),
        )
    )


def sentences(lesions: Sequence[AuditedLesion], cards: Sequence[ScoreCard]) -> list[str]:
    """What was audited and what came of it."""
    notes = sum(card.all.notes for card in cards)
    refused = sum(card.all.refused.count for card in cards)
    datasets = dict.fromkeys(dataset_name(lesion.record.dataset) for lesion in lesions)
    names = fmt.listing([card.name for card in cards])
    models = dict.fromkeys(model for card in cards for model in card.models if model != "template")
    told = [
        f"{fmt.count(notes)} notes ({names}) on {fmt.count(len(lesions))} images of "
        f"{fmt.listing(list(datasets))} were held against the metadata of their lesions and the knowledge "
        "graph.",
        f"Language models that wrote: {fmt.listing(list(models))}." if models else "",
    ]
    if not refused:
        return [*filter(None, told), "None is refused."]
    reasons: Counter[str] = Counter()
    for card in cards:
        reasons.update(card.all.reasons)
    main = [f"{reason.replace('_', ' ')} ({fmt.count(n)})" for reason, n in reasons.most_common(3)]
    told.append(
        f"{fmt.count(refused)} ({tables.percent(refused / notes)}) are refused, most often for "
        f"{fmt.listing(main)}."
    )
    return [*filter(None, told)]


def _filters(examples: Sequence[Any]) -> dict[str, list[tuple[str, str]]]:
    """Values that occur among the examples and the words for them, by filter."""
    lesions = [example.lesion for example in examples]
    notes = [note for lesion in lesions for note in lesion.notes]
    classes = {lesion.record.class_name for lesion in lesions}
    kinds = {kind for note in notes for kind in note.kinds}
    return {
        "name": [(name, name) for name in dict.fromkeys(note.note.strategy for note in notes)],
        "class": [(lesion.name, lesion.name) for lesion in CLASSES if lesion.name in classes],
        "dataset": [(name, dataset_name(name)) for name in dict.fromkeys(x.record.dataset for x in lesions)],
        "kind": [(kind, kind.replace("_", " ")) for kind in words.GROUP_OF if kind in kinds],
        "state": [("refused", "refused"), ("packed", "packed")],
    }


def _environment() -> Environment:
    helpers: dict[str, Any] = {
        "css": file_text(*BASE_STYLE) + file_text(OWN, "templates/audit.css"),
        "script": file_text(OWN, "templates/audit.js"),
        "fmt": fmt,
        "percent": tables.percent,
        "told": tables.told,
        "interval": tables.interval,
        "cell": tables.cell,
        "words": words,
        "most_findings": FINDINGS,
        "dataset_name": dataset_name,
    }
    return page_templates(OWN, **helpers)
