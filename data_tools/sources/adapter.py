"""What one kind of source says of its files; everything that sources share is here.

An adapter lists rows, says in the source's own words what each holds (`Draft`), and names the image. `read`
turns drafts into records, finds images, and says once what values it could not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.config import SourceConfig
from data_tools.sources.base import (
    BadRowError,
    ImageFolder,
    Numbered,
    Row,
    SourceResult,
    collect,
    find_metadata,
    image_files,
    read_table,
    select,
)
from data_tools.sources.diagnosis import Diagnosis
from data_tools.sources.vocabulary import (
    age_of,
    confirmation_of,
    known,
    license_of,
    malignancy_of,
    sex_of,
    site_of,
    skin_tone_of,
    unread_age,
)
from mmfm.errors import DataError
from mmfm.progress import say
from mmfm.records import Record
from mmfm.taxonomy import CLASSES, UNKNOWN_LABEL

Rows = list[Numbered]
DOMAINS = ("dermoscopic", "clinical", "smartphone")  # usual imaging domains
SHOWN = 4  # unread values that are named


@dataclass(frozen=True)
class Draft:
    """A row in the words of its source, by record field. `malignancy`: None takes that of the diagnosis."""

    image_id: str
    diagnosis: Diagnosis
    domain: str = ""
    lesion_id: str = ""
    patient_id: str = ""
    malignancy: str | None = None
    age: str = ""
    sex: str = ""
    site: str = ""
    skin_tone: str = ""
    confirmation: str = ""
    description: str = ""
    license: str = ""
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """How the files of a source become records."""

    rows: Callable[[SourceConfig, Path, str], Rows]
    draft: Callable[[Row], Draft]
    file_of: Callable[[Row], str]
    license: str = ""  # where no column tells
    domain: str = ""  # where neither a column nor the recipe tells
    dataset_of: Callable[[str, Row], str] = lambda dataset, row: dataset
    review: Callable[[Sequence[Record]], Iterable[str]] = (
        lambda records: ()
    )  # lines to say of them, once patched


@dataclass
class Unread:
    """Values of mapped fields that mean nothing to us, counted."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, name: str, value: str) -> None:
        """Count `value` of field `name`."""
        self.counts[name, value] += 1

    def lines(self) -> Iterator[str]:
        """A line for each field that has such values."""
        for name in sorted({name for name, _ in self.counts}):
            found = [(value, count) for (of, value), count in self.counts.most_common() if of == name]
            shown = ", ".join(f"{value!r} ({count})" for value, count in found[:SHOWN])
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            rows = sum(count for _, count in found)
            yield f"{name} not understood in {rows} rows, taken as not known: {shown}{more}"


def read(adapter: Adapter, cfg: SourceConfig, folder: Path, dataset: str) -> SourceResult:
    """Read a source by its adapter. Raises `DataError` where a file or column is missing."""
    rows = adapter.rows(cfg, folder, dataset)
    images = ImageFolder(folder / cfg.images, dataset, required=not cfg.allow_missing)
    unread = Unread()

    def name_of(row: Row) -> str:
        return adapter.dataset_of(dataset, row)

    result = collect(
        rows,
        images,
        convert=lambda row: _record(adapter, adapter.draft(row), name_of(row), cfg, unread),
        file_of=adapter.file_of,
        dataset_of=name_of,
        missing_first=cfg.allow_missing,
    )
    for line in unread.lines():
        say(f"{dataset}: {line}")
    return result


def table_rows(names: Sequence[str], columns: Sequence[str]) -> Callable[[SourceConfig, Path, str], Rows]:
    """Rows of the first of the official tables `names` that is there; it must have `columns`."""

    def rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
        path = find_metadata(folder, cfg, names, dataset)
        return select(read_table(path, dataset, columns), cfg, dataset, path)

    return rows


def image_rows(cfg: SourceConfig, folder: Path, dataset: str) -> Rows:
    """A row for each image below the folder: `file` (relative), `stem` and `folder`, the name of its own."""
    images = folder / cfg.images
    rows = [
        {"file": path.relative_to(images).as_posix(), "stem": path.stem, "folder": path.parent.name}
        for path in image_files(images)
    ]
    if not rows:
        raise DataError(f"{dataset}: no images below {images}")
    return select(list(enumerate(rows, start=1)), cfg, dataset, images)


def first(row: Row, names: Iterable[str]) -> str:
    """The first known value among the columns `names`, of which the row may lack some."""
    return next((value for name in names if (value := known(row.get(name, "")))), "")


def _record(adapter: Adapter, draft: Draft, dataset: str, cfg: SourceConfig, unread: Unread) -> Record:
    """The record of a draft. Raises `BadRowError` where it has no id or no imaging domain."""
    domain = draft.domain or cfg.domain or adapter.domain
    if not draft.image_id:
        raise BadRowError("no image id")
    if not domain:
        raise BadRowError(
            "no imaging domain: map a column to `domain` or set `domain` of the source; usual words are "
            f"{', '.join(DOMAINS)}"
        )
    if unread_age(draft.age):
        unread.note("age", draft.age)
    if known(draft.sex) and not sex_of(draft.sex):
        unread.note("sex", draft.sex)
    diagnosis = draft.diagnosis
    native = " ".join(known(diagnosis.native).split())
    named = diagnosis.label != UNKNOWN_LABEL and native.lower() == CLASSES[diagnosis.label].name
    return Record(
        dataset=dataset,
        image_id=draft.image_id,
        domain=domain,
        lesion_id=known(draft.lesion_id),
        patient_id=known(draft.patient_id),
        label=diagnosis.label,
        native_class="" if named else native,
        subclass=diagnosis.subclass,
        matched_subclass=diagnosis.matched,
        malignancy=_malignancy(draft, unread),
        age=age_of(draft.age),
        sex=sex_of(draft.sex),
        site=site_of(draft.site),
        skin_tone=skin_tone_of(draft.skin_tone),
        confirmation=confirmation_of(draft.confirmation),
        description=known(draft.description),
        license=license_of(draft.license) or adapter.license,
        extras=draft.extras,
    )


def _malignancy(draft: Draft, unread: Unread) -> str:
    if draft.malignancy is None:
        return draft.diagnosis.malignancy
    try:
        return malignancy_of(draft.malignancy, draft.diagnosis.label)
    except KeyError:
        unread.note("malignancy", draft.malignancy)
        return ""
