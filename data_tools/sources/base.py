"""What every source shares: the result of reading one, the table reader and the image folder."""

from __future__ import annotations

import csv
import filecmp
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pyarrow.parquet as parquet

from data_tools.config import SourceConfig
from mmfm.errors import DataError
from mmfm.records import Record

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MISSING_IMAGE = "image not found"
Row = dict[str, str]
Numbered = tuple[int, Row]  # with the number of the row, or of the line that it ends on
TABLE = " table"  # key of a row of one of several tables: which (no column begins with a blank)


@dataclass(frozen=True)
class SourceRecord:
    """A record, the file that holds its image, and its row of the metadata, counted as `Reject.row` is."""

    record: Record
    image: Path
    row: int
    table: str = ""


@dataclass(frozen=True)
class Reject:
    """A row that cannot be used. `row` counts as an editor does: the header is row 1, blank lines count.

    `table` names the table below the source's folder where there are several.
    """

    dataset: str
    row: int
    file: str
    reason: str
    table: str = ""

    @property
    def place(self) -> str:
        """The row, "FILE:ROW" where there are several tables."""
        return place_of(self.table, self.row)

    @property
    def missing_image(self) -> bool:
        """Whether the row was refused because its image file is not there."""
        return self.reason.startswith(MISSING_IMAGE)


@dataclass
class SourceResult:
    """All that a source holds: usable records in the order of its table, and the refused rows.

    `without_image` are the records of the rows that were refused for nothing but their missing image.
    `patched`: rows that a patch met, by data set; `whole`: no rows were left out by `where`.
    """

    records: list[SourceRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    without_image: list[Record] = field(default_factory=list)
    patched: dict[str, Counter[str]] = field(default_factory=dict)
    whole: bool = True

    @property
    def known(self) -> list[Record]:
        """All records, with an image or without."""
        return [item.record for item in self.records] + self.without_image


def place_of(table: str, row: int) -> str:
    """A row as people look it up."""
    return f"{table}:{row}" if table else str(row)


class BadRowError(Exception):
    """Raised while a row is turned into a record; the message becomes the reason of its reject."""


class ImageFolder:
    """The image files below a folder, found by the end of their path, without suffix.

    Metadata often names `x.png` where the file is `x.jpg`, and often starts at another folder than we do.
    Raises `DataError` when the folder is missing or holds no image, unless images are not `required`.
    """

    def __init__(self, folder: Path, source: str, required: bool = True) -> None:
        if required and not folder.is_dir():
            raise DataError(f"{source}: image folder {folder} not found. {_beside(folder)}")
        self._folder = folder
        self._by_stem: dict[str, list[Path]] = {}
        for path in image_files(folder):
            self._by_stem.setdefault(path.stem, []).append(path)
        if required and not self._by_stem:
            raise DataError(f"{source}: no images ({' '.join(IMAGE_SUFFIXES)}) below {folder}")

    def has(self, name: str) -> bool:
        """Whether there is an image that `name` means, usable or not."""
        return bool(self._meant(name))

    def find(self, name: str) -> Path:
        """The image that `name` (with or without folders and suffix) means.

        Of several, those go first that share most folders with `name`, from the last one on, then those with
        its suffix. One in a folder of another name is not meant. Raises `BadRowError` when there is none, or
        an empty one, or several that differ.
        """
        paths = self._meant(name)
        if not paths:
            raise BadRowError(MISSING_IMAGE)
        if not all(filecmp.cmp(paths[0], path, shallow=False) for path in paths[1:]):
            found = " or ".join(path.relative_to(self._folder).as_posix() for path in paths[:3])
            raise BadRowError(f"ambiguous image name: {found}")
        if paths[0].stat().st_size == 0:
            raise BadRowError("image file is empty")
        return paths[0]

    def _meant(self, name: str) -> list[Path]:
        wanted = Path(name)
        stem = wanted.stem if wanted.suffix.lower() in IMAGE_SUFFIXES else wanted.name
        paths = self._by_stem.get(stem, [])
        most = max((_shared_folders(path, wanted) for path in paths), default=0)
        paths = [path for path in paths if _shared_folders(path, wanted) == most]
        if not most and len(wanted.parts) > 1:
            paths = [path for path in paths if path.parent == self._folder]  # copied into one flat folder
        return [path for path in paths if path.name == wanted.name] or paths


def read_table(path: Path, source: str, columns: Iterable[str]) -> list[Numbered]:
    """Rows of a CSV, TSV, Excel or Parquet file with their row numbers; every value is a stripped string.

    Of a CSV file the number is that of the line that the row ends on. Raises `DataError` when the file is
    missing, cannot be read, is empty, has a row of another width, or lacks one of `columns`.
    """
    if not path.is_file():
        raise DataError(f"{source}: metadata file {path} not found. {_beside(path)}")
    try:
        rows = _READERS.get(path.suffix.lower(), _read_csv)(path)
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile) as error:
        raise DataError(f"{source}: cannot read {path}: {error}") from error
    if not rows:
        raise DataError(f"{source}: {path} has no rows")
    there = rows[0][1]
    missing = [column for column in columns if column not in there]
    if missing:
        raise DataError(f"{source}: {path} has no column {', '.join(missing)}; it has {', '.join(there)}")
    return rows


def read_tables(paths: Iterable[Path], folder: Path, source: str, columns: Iterable[str]) -> list[Numbered]:
    """Rows of several tables, each of which says by `TABLE` which one of them below `folder` it is in."""
    return [
        (number, {**row, TABLE: path.relative_to(folder).as_posix()})
        for path in paths
        for number, row in read_table(path, source, columns)
    ]


def select(rows: list[Numbered], cfg: SourceConfig, source: str, path: Path) -> list[Numbered]:
    """The rows that `cfg.where` keeps. Raises `DataError` for an absent column, or if no row is kept."""
    for column in cfg.where:
        if column not in rows[0][1]:
            raise DataError(f"{source}: where.{column}: {path} has the columns {', '.join(rows[0][1])}")
    kept = [(number, row) for number, row in rows if all(row.get(c) == str(v) for c, v in cfg.where.items())]
    if not kept:
        wanted = ", ".join(f"{column}={value}" for column, value in cfg.where.items())
        raise DataError(f"{source}: no row of {path} has {wanted}")
    return kept


def find_metadata(folder: Path, cfg: SourceConfig, names: Iterable[str], source: str) -> Path:
    """The metadata file: that of the recipe, or the first of the official `names` that is there."""
    names = [cfg.metadata] if cfg.metadata else list(names)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{source}: no {' or '.join(names)} in {folder}. {_beside(folder / names[0])}")


def collect(
    rows: list[Numbered],
    images: ImageFolder,
    convert: Callable[[Row], Record],
    file_of: Callable[[Row], str],
    dataset_of: Callable[[Row], str],
    missing_first: bool = False,
) -> SourceResult:
    """Make a record of each row and find its image. Unusable rows and ids that come twice are rejected.

    `missing_first`: a row whose image is missing is refused for that, whatever else is wrong with it.
    """
    result = SourceResult()
    seen: dict[str, str] = {}
    for number, row in rows:
        record, table = None, row.get(TABLE, "")
        try:
            record = convert(row)
            image = images.find(file_of(row))
            if record.key in seen:
                raise BadRowError(f"duplicate id {record.image_id!r}, first in row {seen[record.key]}")
        except BadRowError as reason:
            file = file_of(row)
            missing = missing_first and file and not images.has(file)
            told = MISSING_IMAGE if missing else str(reason)
            reject = Reject(dataset_of(row), number, file, told, table)
            result.rejects.append(reject)
            if record and reject.missing_image:
                result.without_image.append(record)
            continue
        seen[record.key] = place_of(table, number)
        result.records.append(SourceRecord(record, image, number, table))
    return result


def _read_csv(path: Path) -> list[Numbered]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        delimiter = "\t" if "\t" in header and "," not in header else ","
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)  # a quote that never ends is an error
        reader.fieldnames = _column_names(reader.fieldnames or ())
        rows = []
        for row in reader:
            if any(value.strip() for value in row.pop(None, ())):
                raise ValueError(f"line {reader.line_num} has more values than there are columns")
            if None in row.values():
                if not any(value and value.strip() for value in row.values()):
                    continue  # a line of blanks
                raise ValueError(f"line {reader.line_num} has too few values: is the file cut off there?")
            rows.append((reader.line_num, {name: value.strip() for name, value in row.items()}))
    return rows


def _column_names(header: Iterable[str]) -> list[str]:
    """The names in a header. Raises `ValueError` for one that stands twice: which column would be meant?"""
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(f"column {', '.join(twice)} stands twice")
    return names


def _read_parquet(path: Path) -> list[Numbered]:
    return [
        (number, {name: "" if value is None else str(value).strip() for name, value in row.items()})
        for number, row in enumerate(parquet.read_table(path).to_pylist(), start=2)
    ]


def _read_excel(path: Path) -> list[Numbered]:
    """The first sheet; a first column without a name (an index) is called "" and may be ignored."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        header = [_cell(value) for value in next(rows, ())]
        filled = [
            (number, row)
            for number, row in enumerate(rows, start=2)
            if any(value is not None for value in row)
        ]
    finally:
        book.close()
    return [(number, dict(zip(header, map(_cell, row), strict=False))) for number, row in filled]


def _cell(value: object) -> str:
    """A cell as a CSV export has it: Excel keeps whole numbers as floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).strip()


_READERS: dict[str, Callable[[Path], list[Numbered]]] = {".parquet": _read_parquet, ".xlsx": _read_excel}


def _shared_folders(path: Path, wanted: Path) -> int:
    """How many folders two paths have in common, counted from the last one."""
    pairs = zip(reversed(path.parent.parts), reversed(wanted.parent.parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def image_files(folder: Path) -> Iterator[Path]:
    """Image files below `folder`, in the order of their names."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _leads_back(Path(parent, name)))
        for name in sorted(files):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)


def _leads_back(path: Path) -> bool:
    """Whether a folder is a link to one that it lies in, so that a walk would never end."""
    return path.is_symlink() and path.resolve() in {parent.resolve() for parent in path.parents}


def _beside(path: Path) -> str:
    """What is found where `path` was looked for."""
    parent = path.parent
    while not parent.is_dir():
        if parent == parent.parent:
            return f"{parent} does not exist either."
        parent = parent.parent
    names = sorted(entry.name for entry in parent.iterdir())
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{parent} holds: {', '.join(names[:12])}{more}." if names else f"{parent} is empty."
