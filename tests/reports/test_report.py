"""The page as a whole: self-contained, well-formed, complete, and honest about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmfm.errors import DataError
from mmfm.evaluation.ranking import TOP
from mmfm.reports import write_report

VOID = {"meta", "link", "img", "br", "hr"}
SVG_LEAVES = {"path", "circle", "rect"}  # closed in place


class Page(HTMLParser):
    """Collects what a page refers to and says, and whether its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "xlink:href") and value:
                self.references.append(value)
            if name == "id" and value:
                self.ids.add(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_LEAVES, tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def html(fabricated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(fabricated, tmp_path_factory.mktemp("page") / "report.html").read_text()


def test_page_nests_and_needs_nothing_from_outside(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert page.references
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert {ref[1:] for ref in page.references if ref.startswith("#")} <= page.ids
    assert "url(" not in html and "@import" not in html and "<script" not in html
    assert len(html) < 3_000_000


def test_every_number_of_the_newest_results_is_shown(html: str, fabricated: Path) -> None:
    text = Page(html).text
    for path in fabricated.glob("*/evals/*/*.json"):
        data = json.loads(path.read_text())
        newest = (data["suite"], data["step"]) != ("zeroshot", 200)
        for result in data["results"]:
            if result["metric"] == "median_rank":
                continue
            digits = 2 if re.fullmatch(r"recall_[A-Z]+", result["metric"]) else 3
            shown = f"{result['value']:.{digits}f} [{result['low']:.{digits}f}, {result['high']:.{digits}f}]"
            assert (shown in text) or not newest, (path, result)
        for confusion in data["confusion"]:
            for i, row in enumerate(confusion["counts"]):
                code = confusion["classes"][i]
                assert f'title="{row[i]} of {sum(row)} {code} called {code}"' in html
    assert "Median rank" in text and "84" in text and "[75, 93]" in text


def test_summary_gives_the_joint_slice_and_its_chance(html: str, fabricated: Path) -> None:
    results = json.loads((fabricated / "pretrain/evals/step_00000400/zeroshot.json").read_text())["results"]
    best = next(r for r in results if r["metric"] == "balanced_accuracy" and r["slice"]["dataset"] == "all")
    expected = (
        f"{best['value']:.2f} [{best['low']:.2f}, {best['high']:.2f}], chance 0.167 over 6 classes, n = 3,025"
    )
    assert expected in Page(html).text


def test_notes_are_escaped(html: str) -> None:
    assert "&lt;MEL&gt;" in html
    assert "<MEL>" not in html


def test_samples_cover_every_class(html: str) -> None:
    samples = html.split('id="samples"')[1].split('id="protocol"')[0]
    assert samples.count("<figure") == 8
    for name in ("melanoma", "benign keratosis", "basal cell carcinoma", "actinic keratosis"):
        assert f"<h3>{name}</h3>" in samples


def test_same_folder_gives_the_same_page(html: str, fabricated: Path, tmp_path: Path) -> None:
    again = write_report(fabricated, tmp_path / "again.html").read_text()
    undated = [re.sub(r"Written .*? with", "", text) for text in (html, again)]
    assert undated[0] == undated[1]


def test_single_run_folder_without_evaluations(pipeline_folder: Path) -> None:
    run = pipeline_folder / "finetune"
    shutil.rmtree(run / "evals")
    path = write_report(run)
    assert path == run / "report.html"
    text = Page(path.read_text()).text
    assert "Nothing has been evaluated yet" in text
    assert "A classifier of images was trained" in text
    assert "No retrieval has been evaluated" in text


def test_evaluations_alone_make_a_report(pipeline_folder: Path) -> None:
    run = pipeline_folder / "pretrain"
    for name in ("config.yaml", "env.json", "metrics.jsonl"):
        (run / name).unlink()
    shutil.rmtree(pipeline_folder / "shards")
    text = Page(write_report(run).read_text()).text
    assert "No training metrics were found" in text
    assert "not on this machine" in text
    assert "Zero-shot balanced accuracy" in text


def test_a_moved_pipeline_folder_finds_its_shards(pipeline_folder: Path) -> None:
    for run in ("pretrain", "finetune"):
        config = pipeline_folder / run / "config.yaml"
        config.write_text(re.sub(r"shards: .*", "shards: /absent/shards", config.read_text()))
    assert "HAM10000" in Page(write_report(pipeline_folder).read_text()).text.split("Sources")[1]


def test_a_run_with_init_shows_the_towers_of_its_checkpoint(pipeline_folder: Path) -> None:
    """Its recipe's model settings are ignored in training."""
    model = pipeline_folder / "finetune/checkpoints/step_00000120/model"
    model.mkdir(parents=True)
    text = {"config": {"model_type": "bert", "num_hidden_layers": 3, "hidden_size": 48}}
    values = {"format": 1, "model": {"image": {"name": "convnext_atto"}, "text": text}}
    (model / "model.yaml").write_text(json.dumps(values))
    config = pipeline_folder / "finetune/config.yaml"
    config.write_text(re.sub(r"(image:\n +name:) .*", r"\1 resnet_unused", config.read_text()))
    assert "resnet_unused" in config.read_text()
    html = write_report(pipeline_folder).read_text()
    ran = Page(html.split('<table class="plain settings">')[1].split("</table>")[0]).text
    assert "convnext_atto" in ran and "resnet_unused" not in ran
    assert "bert, 3 layers of width 48" in ran


def test_versions_and_machine_are_shown(html: str) -> None:
    text = Page("<dl>" + html.split('<dl class="chips">')[1].split("</dl>")[0] + "</dl>").text
    assert "deepspeed 0.18.2" in text and "host node1" in text


def test_every_hit_of_the_gallery_is_shown(html: str, fabricated: Path) -> None:
    data = json.loads((fabricated / "pretrain/evals/step_00000400/retrieval.json").read_text())
    hits = sum(len(example["hits"]) for example in data["gallery"])
    gallery = html.split('id="gallery"')[1].split('id="samples"')[0]
    assert gallery.count("<li class=") == hits == 8 * TOP


def test_hostile_names_stay_text(pipeline_folder: Path) -> None:
    path = pipeline_folder / "pretrain/evals/step_00000400/retrieval.json"
    data = json.loads(path.read_text())
    query = data["gallery"][0]["query"]
    query["image"] = "https://example.org/x.png"
    query["note"] = "<script>alert(1)</script>"
    path.write_text(json.dumps(data))
    html = write_report(pipeline_folder).read_text()
    assert "<script" not in html and "example.org" not in html


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pretrain/evals/step_00000400/zeroshot.json", "{"),
        ("pretrain/evals/step_00000400/probe.json", '{"suite": "probe"}'),
        ("pretrain/env.json", "nothing"),
        ("shards/dataset.json", "[]"),
        ("pretrain/metrics.jsonl", '{"step": 5, "loss"\n{"step": 10, "loss": 1.0}\n'),
    ],
)
def test_damaged_files_are_named(pipeline_folder: Path, name: str, text: str) -> None:
    (pipeline_folder / name).write_text(text)
    with pytest.raises(DataError, match=re.escape(Path(name).name)):
        write_report(pipeline_folder)
    assert not (pipeline_folder / "report.html").exists()


def test_damaged_gallery_and_confusion_are_errors(pipeline_folder: Path) -> None:
    path = pipeline_folder / "pretrain/evals/step_00000400/zeroshot.json"
    data = json.loads(path.read_text())
    data["confusion"][0]["counts"].pop()
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"zeroshot\.json.*6 by 6"):
        write_report(pipeline_folder)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="no run folder at"):
        write_report(tmp_path / "absent")
