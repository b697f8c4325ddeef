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


def test_unknown_malignancy_and_missing_domain_are_refused(folder: Path) -> None:
    odd = read_source(config(columns={**COLUMNS, "malignancy": "site_code"}), folder)
    assert reasons(odd)[2] == "unknown malignancy 'x'"
    assert reasons(read_source(config(domain=""), folder))[2].startswith("no imaging domain")
