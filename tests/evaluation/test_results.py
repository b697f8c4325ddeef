import io
import json

import pytest
from rich.console import Console

from mmfm.errors import DataError
from mmfm.evaluation.results import (
    Confusion,
    Example,
    Hit,
    Item,
    Outcome,
    Result,
    Slice,
    print_table,
)
from mmfm.evaluation.suitefile import read_suite, write_suite

PART = Slice("ham10000", "dermoscopic", shift=False)
RESULT = Result("recall_at_1", "R@1", PART, 50, 40, 7, 0.41, 0.37, 0.45, 0.02, "image to note", 50)
HEAD = {"suite": "retrieval", "step": 3, "protocol": "clean"}


def test_file_has_the_fields_that_readers_rely_on(tmp_path):
    item = Item("ham10000-1", "MEL", "a note", "data:image/jpeg;base64,AA")
    example = Example("image to note", PART, item, [Hit(1, item, 0.5, relevant=True, own=True)])
    outcome = Outcome([RESULT], [Confusion(PART, ["MEL"], [[3]])], [example], skipped={"truncated": 1})
    path = write_suite(tmp_path / "evals" / "retrieval.json", HEAD, outcome)
    data = json.loads(path.read_text())
    assert data["suite"] == "retrieval" and data["step"] == 3 and data["skipped"] == {"truncated": 1}
    assert data["results"][0]["slice"] == {"dataset": "ham10000", "domain": "dermoscopic", "shift": False}
    assert data["gallery"][0]["query"]["class"] == "MEL"
    assert set(data["gallery"][0]["hits"][0]) == {
        "rank", "key", "class", "note", "image", "score", "relevant", "own",
    }  # fmt: skip
    assert data["confusion"][0]["counts"] == [[3]]
    read = read_suite(path)
    assert (read.name, read.step, read.outcome) == ("retrieval", 3, outcome)
    assert [p.name for p in path.parent.iterdir()] == ["retrieval.json"]  # no part left


def test_only_embedded_pictures_are_read_back(tmp_path):
    item = Item("k", "MEL", "a note", "https://example.org/x.png")
    path = write_suite(tmp_path / "x.json", HEAD, Outcome(gallery=[Example("image to note", PART, item, [])]))
    assert read_suite(path).outcome.gallery[0].query.image == ""


def test_slices_are_named_for_people():
    assert PART.name == "HAM10000, dermoscopic"
    assert Slice("all", "all", shift=False).name == "All sets trained on"


def test_failed_write_keeps_the_old_file(tmp_path):
    path = write_suite(tmp_path / "probe.json", HEAD, Outcome([RESULT]))
    broken = Result(**{**RESULT.__dict__, "value": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write_suite(path, HEAD, Outcome([broken]))
    assert read_suite(path).outcome.results == [RESULT]


@pytest.mark.parametrize("text", ["", "{}", '{"results": [{"metric": "x"}]}'])
def test_other_files_are_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json is no result"):
        read_suite(tmp_path / "x.json")


def test_table_shows_shares_in_percent_and_ranks_as_numbers():
    out = io.StringIO()
    median = Result("median_rank", "Median rank", PART, 50, 40, 7, 12, 9, 15, 25.5, "image to note", 50)
    print_table("retrieval", [RESULT, median], Console(file=out, width=160))
    assert "41.0%" in out.getvalue() and "37.0% to 45.0%" in out.getvalue()
    assert "9 to 15" in out.getvalue()
    assert out.getvalue().count("HAM10000, dermoscopic") == 1
