"""The pages: the grid of a view, and one sample with its notes. All text is escaped by the templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from data_tools.browse.columns import ANY
from data_tools.browse.query import PAGE_SIZE, SORTS, Query
from data_tools.browse.select import UNKNOWN, Selector
from data_tools.browse.table import CATEGORIES, REFUSED, Table
from data_tools.notes.audit import Finding
from data_tools.notes.audit.report import words
from data_tools.notes.audit.report.marks import Piece, pieces
from mmfm.records import Record
from mmfm.reports import format as fmt
from mmfm.reports.pages import BASE_STYLE, file_text, page_templates
from mmfm.taxonomy import CLASSES

OWN = "data_tools.browse"
STYLES = (
    BASE_STYLE,
    ("data_tools.notes.audit.report", "templates/audit.css"),  # that of findings
    (OWN, "templates/browse.css"),
)
SCRIPT = (OWN, "templates/browse.js")
CLASS_NAMES = {lesion.code: lesion.name for lesion in CLASSES}
LABELS = {
    "split": "Split",
    "dataset": "Dataset",
    "domain": "Domain",
    "label": "Class",
    "subclass": "Subclass",
    "sex": "Sex",
    "note": "Note",
    "finding": "Audit finding",
}
FACTS = {
    "subclass": "Subclass",
    "matched_subclass": "Of the taxonomy",
    "native_class": "Class at the source",
    "malignancy": "Malignancy",
    "age": "Age in years",
    "sex": "Sex",
    "site": "Body site",
    "skin_tone": "Skin tone",
    "confirmation": "Confirmed by",
    "description": "Description",
    "dataset": "Dataset",
    "domain": "Domain",
    "image_id": "Image",
    "lesion_id": "Lesion",
    "patient_id": "Patient",
    "license": "Licence",
}


@dataclass(frozen=True)
class Choice:
    """A value of a filter, the words for it, and how many samples would be shown."""

    value: str
    text: str
    samples: int


@dataclass(frozen=True)
class ShownNote:
    """A note as the page shows it. `reasons`: why it was refused, [] for one that is packed."""

    name: str
    text: str
    findings: list[Finding]
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    refused: bool = False
    reasons: list[str] = field(default_factory=list)
    audited: bool = True

    @property
    def pieces(self) -> list[Piece]:
        """Its text, cut for marking."""
        return pieces(self.text, self.findings)

    @property
    def writer(self) -> str:
        """What wrote it, where that is known."""
        return self.provenance.get("model") or self.provenance.get("backend", "")


class Pages:
    """Renders views of a table."""

    def __init__(self, table: Table, selector: Selector) -> None:
        self.table = table
        self.selector = selector
        self.title = table.folder.resolve().name
        helpers: dict[str, Any] = {
            "fmt": fmt,
            "words": words,
            "class_names": CLASS_NAMES,
            "labels": LABELS,
            "sorts": SORTS,
            "link": link,
            "table": table,
            "title": self.title,
        }
        self._templates = page_templates(OWN, **helpers)

    def grid(self, query: Query) -> str:
        """The page of a view: filters, counts and small pictures."""
        page = self.selector.page(query)
        return self._templates.get_template("grid.html.j2").render(
            query=query,
            page=page,
            total=self.selector.total(query),
            choices={name: self.choices(query, name) for name in LABELS if self._divides(query, name)},
            classes=self.selector.classes(query),
            cards=[self.card(sample) for sample in page.samples],
        )

    def sample(self, query: Query, number: int) -> str:
        """The page of one sample, with its neighbours in the view. Raises `CorruptSample`."""
        order = self.selector.order(query)
        place = self.selector.place(query, number)
        neighbours = {"prev": -1, "next": +1}
        keys = {
            name: self.table.keys[order[place + step]]
            for name, step in neighbours.items()
            if place is not None and 0 <= place + step < len(order)
        }
        record = self.table.record(number)
        return self._templates.get_template("sample.html.j2").render(
            query=query,
            card=self.card(number),
            record=record,
            facts=facts(record),
            unknown=[text for name, text in FACTS.items() if getattr(record, name) in ("", None)],
            notes=shown_notes(record, self.table.refused(number), self.table.manifest.notes),
            place=place,
            total=len(order),
            keys=keys,
            back=query.but(page=1 if place is None else place // PAGE_SIZE + 1),
        )

    def message(self, heading: str, text: str) -> str:
        """A page that says why there is nothing to see."""
        return self._templates.get_template("message.html.j2").render(heading=heading, text=text)

    def card(self, sample: int) -> dict[str, Any]:
        """A sample in short, as the grid and the interface for programs show it."""
        table = self.table
        told = {name: column.words[column.codes[sample]] for name, column in table.categories.items()}
        names = [name for name, mask in table.notes.masks.items() if mask[sample]]
        age = float(table.age[sample])
        return {
            "key": table.keys[sample],
            **told,
            "age": None if age != age else age,
            "notes": [name for name in names if not name.startswith(REFUSED)],
            "refused": [name.removeprefix(REFUSED) for name in names if name.startswith(REFUSED)],
            "findings": [kind for kind, mask in table.kinds.masks.items() if mask[sample]],
        }

    def _divides(self, query: Query, name: str) -> bool:
        """Whether a filter has anything to choose from, or is set."""
        return len(self.selector.column(name).words) > (name in CATEGORIES) or bool(getattr(query, name))

    def choices(self, query: Query, name: str) -> list[Choice]:
        """Values of a filter that samples have under the other filters, and the one that is set."""
        counts = self.selector.counts(query, name)
        chosen = getattr(query, name)
        values = [value or UNKNOWN for value, samples in counts.items() if samples]
        if name == "finding" and values:
            values = [ANY, *values]
        if chosen and chosen not in values:
            values.append(chosen)
        counts = {value or UNKNOWN: samples for value, samples in counts.items()}
        counts[ANY] = counts.get(ANY) or self.selector.total(query.but(**{name: ANY})) if ANY in values else 0
        return [Choice(value, value_words(name, value), counts.get(value, 0)) for value in values]


def value_words(name: str, value: str) -> str:
    """A filter's value in words."""
    if name == "label":
        return f"{value} {CLASS_NAMES.get(value, '')}".strip()
    if name == "note" and value.startswith(REFUSED):
        return f"{value.removeprefix(REFUSED)}, refused"
    return value.replace("_", " ") if name == "finding" else value


def facts(record: Record) -> list[tuple[str, str]]:
    """What a record tells, as names and values in words; extras at the end."""
    told = [(text, getattr(record, name)) for name, text in FACTS.items()]
    told += [(str(name).replace("_", " "), value) for name, value in record.extras.items()]
    return [(name, _plain(value)) for name, value in told if value not in ("", None)]


def shown_notes(
    record: Record, refused: Iterable[dict[str, Any]], order: Sequence[str] = ()
) -> list[ShownNote]:
    """The notes of a sample: packed ones in the `order` of their names, then refused ones."""
    names = [name for name in order if name in record.notes]
    names += [name for name in record.notes if name not in names]
    packed = [
        ShownNote(
            name,
            note.text,
            _findings(note.audit),
            _scores(note.audit),
            _provenance(note.provenance),
            audited=bool(note.audit),
        )
        for name, note in ((name, record.notes[name]) for name in names)
    ]
    return packed + [
        ShownNote(
            str(line["note"]),
            str(line["text"]),
            _findings(line),
            _scores(line),
            _provenance(line.get("provenance") or {}),
            refused=True,
            reasons=[str(reason) for reason in line["reasons"]],
        )
        for line in refused
    ]


def link(path: str, query: Query, **more: str) -> str:
    """An address of this site: the same view has the same."""
    asked = "&".join(filter(None, [urlencode(more), query.words]))
    return f"{path}?{asked}" if asked else path


def read_assets() -> dict[str, tuple[str, bytes]]:
    """The style sheet and the script by their address, with their type."""
    style = "".join(file_text(*place) for place in STYLES)
    return {
        "/browse.css": ("text/css; charset=utf-8", style.encode()),
        "/browse.js": ("text/javascript; charset=utf-8", file_text(*SCRIPT).encode()),
    }


def _findings(audit: dict[str, Any]) -> list[Finding]:
    """Findings of an audit, whichever version stored them."""
    found = [each for each in audit.get("findings") or [] if isinstance(each, dict) and "kind" in each]
    return [
        Finding(
            str(each["kind"]),
            str(each.get("detail", "")),
            _place(each.get("start")),
            _place(each.get("end")),
        )
        for each in found
    ]


def _place(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _scores(audit: dict[str, Any]) -> dict[str, float]:
    scores = audit.get("scores") or {}
    return {str(name): float(value) for name, value in scores.items() if isinstance(value, int | float)}


def _provenance(provenance: dict[str, Any]) -> dict[str, str]:
    return {str(name): _plain(value) for name, value in provenance.items() if value not in ("", None, {}, [])}


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
