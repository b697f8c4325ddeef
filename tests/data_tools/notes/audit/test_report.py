"""The audit's page: complete, self-contained, true, and filtered by a browser without a server."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, FLAGS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_tools.config import ShardsConfig
from data_tools.notes.audit.cards import ScoreCard, score_cards
from data_tools.notes.audit.findings import KINDS, Audit, Finding, refusals
from data_tools.notes.audit.report import AuditedLesion, AuditedNote, examples, words, write_report
from data_tools.notes.audit.report.marks import pieces
from data_tools.notes.audit.report.tables import all_cells, measures, percent, subgroup_tables
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES

VOID = {"meta", "link", "img", "br", "input"}
LESIONS = 24
NAMES = ("M", "L1-tiny", "R")


class Page(HTMLParser):
    """What a page refers to, shows and hides, and whether its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.notes: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.references += [str(named[name]) for name in ("src", "href", "srcset", "action") if name in named]
        self.ids += [str(named["id"])] if "id" in named else []
        if "note" in str(named.get("class")).split():
            self.notes.append(named)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def _finding(kind: str, text: str, word: str) -> Finding:
    start = text.index(word)
    return Finding(kind, f"says {word}", start, start + len(word))


def _lesion(number: int, image: Path, config: ShardsConfig) -> AuditedLesion:
    """Every third L1 note swaps the class; every R note has a finding, but is exempt."""
    lesion = CLASSES[number % 3]
    record = Record(
        "tiny<set>" if number % 2 else "ham10000",
        f"i{number}",
        "drawn",
        label=number % 3,
        age=float(number * 3),
        sex=("female", "male")[number % 2],
        malignancy=lesion.malignancy,
    )
    text = f"A {lesion.name} & more of Dermis{number}, for 12 years."
    told = {
        "M": [],
        "L1-tiny": [_finding("class", text, lesion.name), Finding("near_duplicate", "like 3 others")],
        "R": [_finding("history", text, "12 years")],
    }
    audited = []
    for name in NAMES:
        findings = told[name] if name != "L1-tiny" or number % 3 == 0 else []
        audit = Audit(findings, {"recall": 0.25 + 0.5 * (number % 2), "precision": 1.0, "words": 9.0})
        note = Note(name, text, {"model": "tiny-model"} if name == "L1-tiny" else {"backend": "template"})
        audited.append(AuditedNote(note, audit, refusals(audit, name, config.audit)))
    return AuditedLesion(record, image, audited)


@pytest.fixture(scope="module")
def config() -> ShardsConfig:
    return ShardsConfig(root="raw", output="out")


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory, config: ShardsConfig) -> list[AuditedLesion]:
    image = tmp_path_factory.mktemp("images") / "one.png"
    Image.fromarray(np.full((40, 60, 3), 150, np.uint8)).save(image)
    return [_lesion(number, image, config) for number in range(LESIONS)]


@pytest.fixture(scope="module")
def cards(lesions: list[AuditedLesion], config: ShardsConfig) -> list[ScoreCard]:
    each = [(lesion.record, note) for lesion in lesions for note in lesion.notes]
    pairs = [(record, note.note) for record, note in each]
    return score_cards(pairs, [note.audit for _, note in each], config.audit)


@pytest.fixture(scope="module")
def report(
    lesions: list[AuditedLesion],
    cards: list[ScoreCard],
    config: ShardsConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return write_report(
        tmp_path_factory.mktemp("page") / "audit.html", "tiny <audit>", lesions, cards, config
    )


def in_browser(report: Path, place: str, profile: Path) -> Page:
    """The page as a browser has it, at a `#place`."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install it to test the page's filters")
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={profile}",
        "--dump-dom",
        f"{report.as_uri()}{place}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "</html>" in done.stdout, done.stderr[-2000:]
    return Page(done.stdout)


def shown(page: Page) -> list[tuple[str | None, str | None]]:
    return [(note["data-name"], note["data-state"]) for note in page.notes if "hidden" not in note]


def test_the_page_nests_and_needs_nothing_from_outside(report: Path) -> None:
    html = report.read_text()
    page = Page(html)
    assert page.open == []
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    places = {ref[1:] for ref in page.references if ref.startswith("#") and not ref.startswith("#filter=")}
    assert places and places <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\(|@import|https?://|<script src", html)
    assert "tiny<set>" not in html and "tiny&lt;set&gt;" in html


def test_what_is_shown_is_what_was_found(report: Path, cards: list[ScoreCard]) -> None:
    text = Page(report.read_text()).text
    assert "72 notes (M, L1-tiny and R) on 24 images of HAM10000 and tiny<set>" in text
    assert "8 (11%) are refused, most often for class (8)" in text
    low, high = (percent(end).rstrip("%") for end in (cards[1].all.refused.low, cards[1].all.refused.high))
    assert f"33% [{low}, {high}] refused" in text and "8 of 24 notes" in text
    assert "refused: it is exempt" in text
    assert "Language models that wrote: tiny-model." in text


def test_findings_are_marked_named_and_listed(report: Path) -> None:
    html = report.read_text()
    name = CLASSES[0].name
    assert (
        f'<mark class="diagnosis" title="class: says {name}">{name}</mark><sup class="diagnosis">class</sup>'
        in html
    )
    assert '<mark class="attributes" title="history: says 12 years">12 years</mark>' in html
    text = Page(html).text
    assert "near duplicate like 3 others" in text
    assert "✗ refused: class" in text and "○ packed, exempt" in text and "✓ packed" in text


def test_a_lesion_whose_image_is_gone_is_still_shown(
    lesions: list[AuditedLesion], cards: list[ScoreCard], config: ShardsConfig, tmp_path: Path
) -> None:
    gone = AuditedLesion(lesions[0].record, tmp_path / "gone.jpg", lesions[0].notes)
    text = Page(write_report(tmp_path / "a.html", "gone", [gone], cards, config).read_text()).text
    assert "The image cannot be shown." in text and "for 12 years" in text


def test_nothing_refused_and_no_notes_make_a_page(config: ShardsConfig, tmp_path: Path) -> None:
    text = Page(write_report(tmp_path / "a.html", "none", [], [], config).read_text()).text
    assert "None is refused." in text and "There are no notes to show." in text


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("#filter=name=L1-tiny&state=refused", {("L1-tiny", "refused"): 8}),
        ("#filter=kind=history", {("R", "packed"): LESIONS}),
        ("#filter=text=DERMIS7", {(name, "packed"): 1 for name in NAMES}),
        (f"#filter=name=M&dataset=ham10000&class={CLASSES[1].name.replace(' ', '+')}", {("M", "packed"): 4}),
        ("#filter=kind=leak", {}),
    ],
)
def test_filters_of_the_address(
    report: Path, tmp_path: Path, place: str, expected: dict[tuple[str, str], int]
) -> None:
    page = in_browser(report, place, tmp_path / "profile")
    notes = shown(page)
    assert {note: notes.count(note) for note in set(notes)} == expected
    assert f"Showing {len(notes)} of {LESIONS * len(NAMES)} notes" in page.text


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(-1, 32), st.integers(-1, 32)), max_size=5),
)
def test_pieces_are_the_text_and_cover_each_finding(text: str, places: list[tuple[str, int, int]]) -> None:
    findings = [Finding(kind, str(n), start, end) for n, (kind, start, end) in enumerate(places)]
    cut = pieces(text, findings)
    assert "".join(piece.text for piece in cut) == text
    for finding in findings:
        over = "".join(piece.text for piece in cut if finding in piece.findings)
        placed = 0 <= finding.start < finding.end <= len(text)
        assert over == (text[finding.start : finding.end] if placed else "")
        assert sum(finding in piece.ending for piece in cut) == placed


def test_examples_show_every_kind_of_every_name_before_any_twice(
    config: ShardsConfig, tmp_path: Path
) -> None:
    """200 sound lesions, and one each with a rare finding: all rare ones are shown."""
    many = [_lesion(3 * number + 1, tmp_path / "none.png", config) for number in range(200)]
    for number, kind in enumerate(KINDS):
        each = many[10 * number].notes[0]
        many[10 * number].notes[0] = AuditedNote(each.note, Audit([Finding(kind, "rare")], {}), [])
    chosen = examples.choose(many, limit=30)
    assert len(chosen) == len(set(chosen)) == 30
    assert {10 * number for number in range(len(KINDS))} <= set(chosen)
    assert chosen == examples.choose(many, limit=30)


def test_a_common_finding_is_shown_on_lesions_of_all_classes(config: ShardsConfig, tmp_path: Path) -> None:
    """A hundred lesions of one class, and two of each other one, all with the same finding."""
    numbers = [*range(0, 300, 3), 1, 2, 4, 5]
    many = [_lesion(number, tmp_path / "none.png", config) for number in numbers]
    for lesion in many:
        lesion.notes[:] = lesion.notes[2:]
    labels = [many[chosen].record.label for chosen in examples.choose(many, limit=6)]
    assert sorted(labels) == [0, 0, 1, 1, 2, 2]


def test_the_page_stays_small(lesions: list[AuditedLesion], config: ShardsConfig, tmp_path: Path) -> None:
    """Noise is the worst case for JPEG."""
    image = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(image)
    noisy = [_lesion(number, image, config) for number in range(300)]
    made = examples.make_examples(noisy, 10**6)
    assert 20 < len(made) <= examples.LESIONS
    assert sum(len(example.image) for example in made) <= examples.IMAGE_BYTES
    assert max(Image.open(image).size) > examples.SIDE


def test_endless_notes_do_not_make_an_endless_page(
    cards: list[ScoreCard], config: ShardsConfig, tmp_path: Path
) -> None:
    text = "so it says again and again, " * 2000
    findings = [Finding("repetition", "again", start, start + 5) for start in range(0, 2000, 10)]
    lesion = _lesion(0, tmp_path / "none.png", config)
    endless = AuditedNote(Note("M", text), Audit(findings, {}), ["repetition"])
    lesion.notes[:] = [endless] * 10
    html = write_report(tmp_path / "a.html", "endless", [lesion], cards, config).read_text()
    page = Page(html)
    assert f"and {len(text) - examples.TEXT:,} more characters" in page.text
    assert "and 188 more" in page.text and page.open == []
    assert len(html) < 600_000


def test_cells_hold_the_numbers_of_the_cards(cards: list[ScoreCard]) -> None:
    tables = subgroup_tables(cards)
    assert {"class", "dataset", "sex", "age"} <= {table.by for table in tables}
    cells = all_cells(tables, measures(cards))
    groups = [group for table in tables for _, row in table.rows for group in row]
    assert {len(column) for column in cells.values()} == {len(groups)}
    for group, (refused, _, title), (recall, *_) in zip(
        groups, cells["refused"], cells["recall"], strict=True
    ):
        if group is not None:
            assert refused == group.refused.value and recall == group.recall
            assert f"{group.refused.count} of {group.notes}" in title
    json.dumps(cells, allow_nan=False)


def test_every_kind_has_its_words() -> None:
    kinds = {*KINDS, "recall", "precision"}
    assert kinds == words.KIND_WORDS.keys() == words.GROUP_OF.keys()
