"""`mmfm data prepare`, `duplicates` and `deid` from the command line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from launch.cli import main

RECIPE = str(Path(__file__).parents[3] / "configs" / "data" / "demo.yaml")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_contact_sheet(raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    words = ["data", "prepare", RECIPE, f"root={raw_folder}", "--count", "3", "--output", str(sheet)]
    code, out, _ = run(capsys, *words, "prepare.hair=true", "prepare.border=true")
    assert code == 0 and "hair: changed" in out and "border: changed" in out and "lesion" not in out
    narrow = Image.open(sheet).size
    code, out, _ = run(capsys, *words)  # no step is switched on: all are shown
    assert code == 0 and "lesion: changed" in out
    assert Image.open(sheet).size[0] > narrow[0]
    code, _, err = run(capsys, *words[:-1], "sheet.pdf")
    assert code == 2 and "ends in .png or .jpg" in err


def test_changed_images_alone(raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "data",
        "prepare",
        RECIPE,
        f"root={raw_folder}",
        "--changed",
        "--output",
        str(tmp_path / "s.png"),
    ]
    code, out, _ = run(capsys, *words, "--count", "4", "prepare.hair=true")
    assert code == 0 and "hair: changed 4 of" in out


def test_nothing_to_show(raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(raw_folder, tmp_path / "raw")
    for path in (tmp_path / "raw" / "images").iterdir():
        Image.new("RGB", (40, 40), (220, 180, 160)).save(path)
    words = ["data", "prepare", RECIPE, f"root={tmp_path / 'raw'}", "--changed", "prepare.hair=true"]
    code, out, _ = run(capsys, *words, "--output", str(tmp_path / "sheet.png"))
    assert code == 0 and out == "none of 160 images is changed by hair\n"
    assert not (tmp_path / "sheet.png").exists()


def test_duplicates_are_listed(raw_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "raw"
    shutil.copytree(raw_folder, root)
    shutil.copy(root / "images" / "D000000.jpg", root / "images" / "D000090.jpg")
    code, out, _ = run(
        capsys, "data", "duplicates", RECIPE, f"root={root}", "--output", str(tmp_path / "pairs.csv")
    )
    assert code == 0 and "1 pairs among 160 images, 1 of them of different lesions" in out
    with (tmp_path / "pairs.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert {Path(row["file_a"]).name, Path(row["file_b"]).name} == {"D000000.jpg", "D000090.jpg"}
    assert row["distance"] == "0"


TEXTS = {
    "a.json": '[{"note": "Dr. Jane Roe, MRN 00482913", "more": {"list": ["seen 2021-03-14"]}}]',
    "b.jsonl": '{"note": "fine"}\n{"note": "mail jane@example.com"}\n',
    "c.csv": "id,note\n1,clean\n2,call +1 617 555 0134\n",
    "deep/d.txt": "first line\nlives at 12 Maple Street\n",
}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for name, content in TEXTS.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "texts"


def test_identifying_words_are_counted_and_not_shown(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "hits.csv"
    code, out, _ = run(capsys, "data", "deid", str(texts), "--output", str(output))
    assert code == 1 and "6 places in 10 texts" in out
    assert not any(
        word in out + output.read_text() for word in ("Jane", "jane", "0048", "617", "Maple", "2021")
    )
    with output.open(newline="") as file:
        rows = {
            (Path(row["file"]).name, row["row"], row["field"], row["kind"]) for row in csv.DictReader(file)
        }
    assert rows == {
        ("a.json", "1", "note", "name"),
        ("a.json", "1", "note", "record number"),
        ("a.json", "1", "list", "date"),
        ("b.jsonl", "2", "note", "e-mail"),
        ("c.csv", "3", "note", "phone"),
        ("d.txt", "2", "", "address"),
    }
    code, out, _ = run(capsys, "data", "deid", str(texts), "--show")
    assert code == 1 and "12 Maple Street" in out


def test_names_of_columns_tell_what_numbers_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(
        "case,age,mrn,patient_name,size\n1,95,00482913,Quill,95\n2,45,,,12345678\n"
    )
    (tmp_path / "b.json").write_text('[{"age": 93, "size": 93, "mrn": 482913, "malignant": true}]')
    code, out, _ = run(capsys, "data", "deid", str(tmp_path), "--output", str(tmp_path / "hits" / "hits.csv"))
    assert code == 1 and "5 places in 13 texts" in out
    with (tmp_path / "hits" / "hits.csv").open(newline="") as file:
        rows = [(row["field"], row["start"], row["end"]) for row in csv.DictReader(file)]
    assert rows == [
        ("age", "0", "2"),
        ("mrn", "0", "8"),
        ("patient_name", "0", "5"),
        ("age", "0", "2"),
        ("mrn", "0", "6"),
    ]


def test_fields_can_be_chosen(texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "deid", str(texts / "a.json"), "--fields", "list")
    assert code == 1 and "1 places in 1 texts" in out
    code, out, _ = run(capsys, "data", "deid", str(texts / "c.csv"), "--fields", "id")
    assert code == 0 and "2 texts: nothing found" in out


def test_descriptions_of_a_recipe(raw_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "deid", RECIPE, f"root={raw_folder}")
    assert code == 0 and "nothing found" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "none not found"),
        (["bad.json"], "bad.json is no JSON"),
        (["bad.jsonl"], "line 2 of bad.jsonl is no JSON"),
        (["deep.json"], "deep.json is no JSON"),
        (["bad.csv"], "bad.csv cannot be read"),
        (["picture.png"], "picture.png: texts are read from files that end in"),
        (["empty"], "empty holds no file that ends in"),
        ([RECIPE], "root is not set"),
        ([RECIPE, "bad.csv"], "bad.csv: a recipe is checked alone"),
    ],
)
def test_what_cannot_be_checked(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    Path("deep.json").write_text("[" * 100_000)
    Path("bad.jsonl").write_text('{"a": "b"}\nnothing\n')
    Path("bad.csv").write_bytes(b"a,b\n\xff\xfe,c\n")
    Path("picture.png").touch()
    Path("empty").mkdir()
    code, _, err = run(capsys, "data", "deid", *words)
    assert code == 2 and message in err
