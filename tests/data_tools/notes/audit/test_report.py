"""The audit's page: complete, self-contained, true, and filtered by a browser without a server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_tools.config import ShardsConfig
from data_tools.notes.audit.cards import OPTIONAL, ScoreCard, score_cards
from data_tools.notes.audit.findings import KINDS, SHORTFALLS, Audit, Finding, refusals
from data_tools.notes.audit.report import examples, words
from data_tools.notes.audit.report.examples import AuditedLesion, AuditedNote
from data_tools.notes.audit.report.marks import pieces
from data_tools.notes.audit.report.page import write_report
from data_tools.notes.audit.report.tables import all_cells, measures, percent, subgroup_tables
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES

VOID = {"meta", "link", "img", "br", "input"}
LESIONS = 24
NAMES = ("M", "L1-tiny", "R")
SHOWN = (
    "[...document.querySelectorAll('.lesion:not([hidden]) .note:not([hidden])')]"
    ".map((note) => [note.dataset.name, note.dataset.state])"
)
COUNT = "document.getElementById('count').textContent"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page's script is not run")


class Page(HTMLParser):
    """What a page refers to and says, and whether its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.references += [str(named[name]) for name in ("src", "href", "srcset", "action") if name in named]
        self.ids += [str(named["id"])] if "id" in named else []

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


@pytest.fixture(scope="module")
def opened(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page in a browser."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.open(report.as_uri())
    yield browser
    browser.close()


def follow(browser: Browser, place: str) -> None:
    """Go to a `#place` of the page that is open."""
    browser.value("history.replaceState(null, '', '#top')")  # so that it is another place in any case
    moved = "new Promise((done) => addEventListener('hashchange', () => done(1), {once: true}))"
    browser.value(
        f"(() => {{ const moved = {moved}; location.hash = {json.dumps(place)}; return moved; }})()"
    )


def shown(browser: Browser) -> Counter[tuple[str, str]]:
    return Counter((name, state) for name, state in browser.value(SHOWN))


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
    assert "exempt never refused" in text
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


@needs_browser
def test_filters_of_the_address(opened: Browser) -> None:
    opened.value("history.replaceState(null, '', '#filter=name=L1-tiny&state=refused')")
    opened.leave("location.reload()")
    assert shown(opened) == {("L1-tiny", "refused"): 8}
    named = CLASSES[1].name.replace(" ", "+")
    for place, expected in {
        "#filter=kind=history": {("R", "packed"): LESIONS},
        "#filter=text=DERMIS7,": {(name, "packed"): 1 for name in NAMES},
        f"#filter=name=M&dataset=ham10000&class={named}": {("M", "packed"): 4},
        "#filter=kind=leak": {},
    }.items():
        follow(opened, place)
        assert shown(opened) == expected, place
        assert opened.value(COUNT).startswith(f"Showing {sum(expected.values())} of {LESIONS * len(NAMES)} ")
    assert not opened.value("document.getElementById('nothing').hidden")


@needs_browser
def test_filters_by_hand_go_into_the_address(opened: Browser) -> None:
    follow(opened, "#filter=kind=history")
    opened.value(
        "(() => { const field = document.querySelector('#filters [name=text]'); field.value = 'dermis1'; "
        "field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert shown(opened) == {("R", "packed"): 11}  # 1 and 10 to 19
    assert opened.value("location.hash") == "#filter=kind=history&text=dermis1"
    opened.value("document.querySelector('#filters [type=reset]').click()")
    opened.value("new Promise((done) => setTimeout(done, 20))")
    assert sum(shown(opened).values()) == LESIONS * len(NAMES)
    assert opened.value("location.hash") == "#examples"


@needs_browser
def test_the_subgroups_show_another_measure(opened: Browser, cards: list[ScoreCard]) -> None:
    opened.value(
        "(() => { const measure = document.getElementById('measure'); measure.value = 'recall'; "
        "measure.dispatchEvent(new Event('change')); })()"
    )
    told = opened.value("[...document.querySelectorAll('.heat.by .cell')].map((cell) => cell.textContent)")
    cells = all_cells(subgroup_tables(cards), ["recall"])["recall"]
    assert told == [text for _, text, _ in cells] and len(set(told)) > 1


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_never_wider_than_the_screen(opened: Browser, width: int) -> None:
    opened.resize(width, 900)
    assert opened.value(WIDER) == 0


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
    kinds = {*KINDS, *SHORTFALLS}
    assert kinds == words.KIND_WORDS.keys() == words.GROUP_OF.keys()
    assert words.OPTIONAL_SCORES.keys() == set(OPTIONAL)
