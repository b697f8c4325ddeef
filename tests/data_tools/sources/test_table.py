"""The table source: mapping, normalising, refusing."""

from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from data_tools.config import SourceConfig
from data_tools.sources import SourceResult, read_source
from mmfm.errors import ConfigError, DataError
from mmfm.taxonomy import UNKNOWN_LABEL, label_of

TABLE = """file,who,diagnosis,years,gender,place,site_code,camera
a.png,P1,mole,45.0,F,lower_extremity,x,A
b,P2,Melanoma,nan,unknown,,x,A
c.jpg,P2,wart,30,M,back,x,A
d.jpg,P3,MEL,30,M,back,x,A
a.jpg,P1,mole,45,F,back,x,A
e.jpg,P1,,45,F,back,x,A
f.jpg,P1,not sure,0,F,back,x,A
g.jpg,P9,mole,45,F,back,y,A
"""
COLUMNS = {
    "file": "file", "patient_id": "who", "label": "diagnosis", "age": "years", "sex": "gender",
    "site": "place", "extras.camera": "camera",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text(TABLE)
    for name in ("a.jpg", "sub/b.webp", "c.jpg", "e.jpg", "f.jpg", "g.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return tmp_path


def config(**changes: object) -> SourceConfig:
    given = {
        "dataset": "clinic", "metadata": "table.csv", "images": "images", "domain": "clinical",
        "columns": dict(COLUMNS), "values": {"label": {"mole": "NEV", "not sure": "unlabelled"}},
        "where": {"site_code": "x"},
    }  # fmt: skip
    return SourceConfig(**{**given, **changes})  # type: ignore[arg-type]


def reasons(result: SourceResult) -> dict[int, str]:
    return {reject.row: reject.reason for reject in result.rejects}


def test_maps_columns_and_values(folder: Path) -> None:
    result = read_source(config(), folder)
    mole, melanoma, unlabelled = (item.record for item in result.records)
    assert (mole.dataset, mole.image_id, mole.patient_id, mole.domain) == ("clinic", "a", "P1", "clinical")
    assert (mole.label, mole.malignancy, mole.age, mole.sex) == (label_of("NEV"), "benign", 45.0, "female")
    assert (mole.site, mole.extras) == ("lower extremity", {"camera": "A"})
    assert (melanoma.label, melanoma.malignancy, melanoma.age, melanoma.sex) == (
        label_of("MEL"),
        "malignant",
        None,
        "",
    )
    assert (unlabelled.label, unlabelled.malignancy, unlabelled.age) == (UNKNOWN_LABEL, "", None)


def test_images_are_found_by_stem_in_any_folder(folder: Path) -> None:
    result = read_source(config(), folder)
    found = {
        item.record.image_id: item.image.relative_to(folder / "images").as_posix() for item in result.records
    }
    assert found == {"a": "a.jpg", "b": "sub/b.webp", "f": "f.jpg"}  # the table says a.png and b


def test_every_refused_row_has_its_number_and_reason(folder: Path) -> None:
    result = read_source(config(), folder)
    assert {row: reason.split(";")[0] for row, reason in reasons(result).items()} == {
        4: "unknown label 'wart'",
        5: "image not found",
        6: "duplicate id 'a', first in row 2",
        7: "no label: outside the eight classes",
    }
    assert [reject.file for reject in result.rejects] == ["c.jpg", "d.jpg", "a.jpg", "e.jpg"]
    assert [reject.missing_image for reject in result.rejects] == [False, True, False, False]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("P2/front.jpg", "P2/front.jpg"),
        ("P2/front", "P2/front.jpg"),
        ("images/P1/front.png", "P1/front.jpg"),
        ("elsewhere/P1/front.jpg", "P1/front.jpg"),
        ("P3/back.jpg", "P3/back.jpg"),  # not the other format of another folder
        ("P4/front.jpg", "image not found"),  # not another patient's
        ("front.jpg", "ambiguous image name: P1/front.jpg or P2/front.jpg"),
        ("part_1/flat.jpg", "flat.jpg"),
        ("copy.jpg", "P1/copy.jpg"),  # one picture, twice
    ],
)
def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, name: str, found: str) -> None:
    names = (
        "P1/front.jpg",
        "P2/front.jpg",
        "P3/back.jpg",
        "back.png",
        "flat.jpg",
        "P1/copy.jpg",
        "P2/copy.jpg",
    )
    for number, path in enumerate(names):
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        colour = (0 if "copy" in path else 30 * number, 0, 0)
        Image.new("RGB", (8, 8), colour).save(tmp_path / "images" / path, compress_level=0, quality=100)
    (tmp_path / "table.csv").write_text(f"file\n{name}\n")
    result = read_source(config(columns={"file": "file"}, where={}), tmp_path)
    images = [item.image.relative_to(tmp_path / "images").as_posix() for item in result.records]
    assert [*images, *(reject.reason for reject in result.rejects)] == [found]


def test_empty_image_file_is_refused(folder: Path) -> None:
    (folder / "images" / "a.jpg").write_bytes(b"")
    assert reasons(read_source(config(), folder))[2] == "image file is empty"


def test_where_filters_and_filtered_rows_do_not_count(folder: Path) -> None:
    result = read_source(config(where={"site_code": "y"}), folder)
    assert len(result.records) + len(result.rejects) == 1
    assert result.records[0].record.image_id == "g"


def test_parquet_and_csv_give_the_same(folder: Path) -> None:
    table = pyarrow.csv.read_csv(folder / "table.csv")
    pyarrow.parquet.write_table(table, folder / "table.parquet")
    assert read_source(config(metadata="table.parquet"), folder) == read_source(config(), folder)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"metadata": "tabel.csv"}, DataError, "tabel.csv not found.*holds: images, table.csv"),
        ({"images": "photos"}, DataError, "photos not found"),
        ({"root": "nowhere"}, DataError, "nowhere not found.*images"),
        ({"columns": {**COLUMNS, "age": "alter"}}, DataError, "no column alter; it has file, who"),
        ({"where": {"site_code": "z"}}, DataError, "site_code=z"),
        ({"where": {"code": "z"}}, DataError, "where.code"),
        ({"columns": {**COLUMNS, "sexe": "gender"}}, ConfigError, "'sexe'.*Fields:.*sex"),
        ({"columns": {"label": "diagnosis"}}, ConfigError, "map `file` or `image_id`"),
        ({"dataset": ""}, ConfigError, "dataset"),
        ({"metadata": ""}, ConfigError, "metadata"),
        ({"kind": "ham"}, ConfigError, "'ham' is not one of table"),
    ],
)
def test_what_cannot_be_read_is_named(folder: Path, changes: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        read_source(config(**changes), folder)


def test_no_images_at_all(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images .* below .*empty"):
        read_source(config(images="empty"), folder)


@pytest.mark.parametrize("broken", [lambda p: p.write_bytes(b"\xff\xfe\x00bad"), lambda p: p.write_text("")])
def test_unreadable_table(folder: Path, broken: Callable[[Path], object]) -> None:
    broken(folder / "table.csv")
    with pytest.raises(DataError, match=r"table\.csv"):
        read_source(config(), folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label,label\na.jpg,MEL,NEV\n", "column label stands twice"),
        ("file,label\nb.jpg,MEL\na.jpg,MEL, no nevus\n", "line 3 has more values than there are columns"),
        ('file,label\na.jpg,"MEL\nb.jpg,NEV\n', "unexpected end of data"),  # the quote swallows a row
    ],
)
def test_tables_whose_values_would_be_lost(folder: Path, text: str, words: str) -> None:
    (folder / "table.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_source(config(columns={"file": "file", "label": "label"}, where={}), folder)


def test_blanks_around_names_and_empty_values_at_the_end_do_no_harm(folder: Path) -> None:
    (folder / "table.csv").write_text("file , label\na.jpg,MEL,,\n")
    result = read_source(config(columns={"file": "file", "label": "label"}, where={}), folder)
    assert [item.record.label for item in result.records] == [label_of("MEL")]


def test_missing_domain_is_refused(folder: Path) -> None:
    assert reasons(read_source(config(domain=""), folder))[2].startswith("no imaging domain")


def test_values_that_are_not_understood_are_counted_and_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = (folder / "table.csv").read_text().replace("a.png,P1,mole,45.0,F", "a.png,P1,mole,adult,divers")
    (folder / "table.csv").write_text(table.replace("b,P2,Melanoma,nan,unknown", "b,P2,Melanoma,130,divers"))
    odd = read_source(config(columns={**COLUMNS, "malignancy": "site_code"}), folder)
    mole, melanoma, unlabelled = (item.record for item in odd.records)
    assert (mole.sex, mole.age, mole.malignancy) == (
        "",
        None,
        "",
    )  # not the class's: the source said something
    assert (melanoma.sex, melanoma.age) == ("", None)
    assert unlabelled.age is None  # 0 is a way to say "not known"
    said = capsys.readouterr().err.splitlines()
    assert [line.split(", taken")[0] for line in said] == [
        "clinic: age not understood in 2 rows",
        "clinic: malignancy not understood in 5 rows",
        "clinic: sex not understood in 2 rows",
    ]
    assert said[2].endswith("'divers' (2)")


def test_words_and_subclass_of_the_taxonomy_may_be_mapped(folder: Path) -> None:
    columns = {"file": "file", "label": "diagnosis", "native_class": "diagnosis", "subclass": "camera"}
    table = (folder / "table.csv").read_text().replace("x,A", "x,Blue Nevus")
    (folder / "table.csv").write_text(table)
    mole = read_source(config(columns=columns), folder).records[0].record
    assert (mole.native_class, mole.subclass, mole.matched_subclass) == ("mole", "Blue Nevus", "blue nevus")
    columns["matched_subclass"] = columns.pop("subclass")
    mole = read_source(config(columns=columns), folder).records[0].record
    assert (mole.subclass, mole.matched_subclass) == ("", "blue nevus")


GROUPED = """\
image_id,lesion_id,patient_id
a,L1,other
b,L2,
z,L3,P3
"""


def test_groups_come_from_a_table_beside(folder: Path) -> None:
    (folder / "groups.csv").write_text(GROUPED)
    result = read_source(config(groups="groups.csv"), folder)
    ids = {item.record.image_id: (item.record.lesion_id, item.record.patient_id) for item in result.records}
    assert ids == {"a": ("L1", "P1"), "b": ("L2", "P2"), "f": ("", "P1")}  # what the table has goes first
    (folder / "groups.csv").write_text(GROUPED + "b,L2,\n")
    assert read_source(config(groups="groups.csv"), folder) == result  # the same again
    (folder / "groups.csv").write_text(GROUPED + "b,L9,\n")
    with pytest.raises(DataError, match="image_id 'b' in rows 3 and 5, with different groups"):
        read_source(config(groups="groups.csv"), folder)
    (folder / "groups.csv").write_text("name,lesion_id\na,L1\n")
    with pytest.raises(DataError, match=r"groups: .*needs a column image_id or isic_id"):
        read_source(config(groups="groups.csv"), folder)


def test_records_without_their_image_are_known(folder: Path) -> None:
    result = read_source(config(), folder)
    assert [record.image_id for record in result.without_image] == ["d"]
    everything = read_source(config(images="nowhere", allow_missing=True), folder)
    assert not everything.records
    assert [record.image_id for record in everything.known] == ["a", "b", "d", "a", "f"]


@pytest.mark.parametrize(
    "cut", ["h.jpg,P9,mo", "h.jpg", "h.jpg,P9,mole,45,F,back,y,\ni.jpg,P9,mole,45,F,back,y"]
)
def test_a_table_that_is_cut_off_is_refused(folder: Path, cut: str) -> None:
    (folder / "table.csv").write_text(TABLE + cut)
    line = 10 + cut.count("\n")
    with pytest.raises(DataError, match=rf"table\.csv: line {line} has too few values: is the file cut off"):
        read_source(config(), folder)


def test_rows_are_numbered_as_lines_are(folder: Path) -> None:
    usual = read_source(config(), folder).rejects
    header, *rows = TABLE.splitlines(keepends=True)
    (folder / "table.csv").write_text("".join((header, "\n", *rows[:3], "  \n", *rows[3:], "\n")))
    moved = read_source(config(), folder).rejects
    assert [one.file for one in moved] == [one.file for one in usual]
    assert [one.row for one in moved] == [one.row + 1 + (one.row > 4) for one in usual]
    assert [one.place for one in moved] == [str(one.row) for one in moved]


def test_where_images_may_be_missing_that_comes_before_other_reasons(folder: Path) -> None:
    def told(**changes: object) -> list[str]:
        return [r.reason for r in read_source(config(**changes), folder).rejects if r.file == "c.jpg"]

    (outside,) = told(allow_missing=True)
    (folder / "images" / "c.jpg").unlink()  # of the wart
    assert "wart" in outside and told() == [outside]
    assert told(allow_missing=True) == ["image not found"]
