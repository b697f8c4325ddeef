"""The page in a real browser: it renders, addresses and keys lead on, and markup in the data runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
LOADED = (
    "Promise.all([...document.images].map((image) => { image.loading = 'eager'; "
    "return image.decode().then(() => 1, () => 0); })).then((loaded) => loaded.filter(Boolean).length)"
)
TITLES = "[...document.querySelectorAll('.tile b')].map((tile) => tile.textContent)"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def test_the_grid_renders_what_its_address_says(site: str, chromium: Browser) -> None:
    chromium.open(f"{site}/?split=test&sort=class")
    assert chromium.value(TITLES) == ["melanoma"] * 4 + ["class not known"]
    assert chromium.value(LOADED) == 5
    assert chromium.value("document.querySelector('[name=split]').value") == "test"
    assert chromium.value("getComputedStyle(document.querySelector('.grid')).display") == "grid"


def test_a_choice_leads_to_an_address_with_nothing_superfluous(site: str, chromium: Browser) -> None:
    chromium.open(f"{site}/?sort=key")
    field = "document.querySelector('[name=label]')"
    chromium.value(f"{field}.value = 'NEV'")
    chromium.leave(f"{field}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    assert chromium.value("location.pathname + location.search") == "/?label=NEV&sort=key"
    assert set(chromium.value(TITLES)) == {"melanocytic nevus"}


def test_a_sample_shows_its_notes_and_flags(site: str, chromium: Browser) -> None:
    chromium.open(f"{site}/sample?key=set-006")
    marks = "[...document.querySelectorAll('mark')].map((mark) => mark.textContent)"
    assert chromium.value(marks) == ["benign", "aged 30", "dermatofibroma"]
    assert "refused: class, skin tone" in chromium.value("document.querySelector('.refused').textContent")
    assert chromium.value(LOADED) == 1


def test_keys_lead_through_the_view(site: str, chromium: Browser) -> None:
    chromium.open(f"{site}/?label=NEV&sort=key")
    chromium.open(site + chromium.value("document.querySelector('.tile').getAttribute('href')"))
    key = "new URLSearchParams(location.search).get('key')"
    seen = [chromium.value(key)]
    for pressed in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        chromium.press(pressed)
        seen.append(chromium.value(key))
    assert seen == ["set-002", "set-010", "set-018", "set-010"]
    chromium.press("Escape")
    assert chromium.value("location.search") == "?label=NEV&sort=key"


def test_markup_in_notes_runs_nothing(site: str, chromium: Browser) -> None:
    key = quote('other&set-"><b>x<_b>')
    chromium.open(f"{site}/sample?key={key}")
    assert "Said <script>" in chromium.value("document.querySelector('blockquote').textContent")
    assert chromium.value("document.title") != "owned"
    assert chromium.value("document.scripts.length") == 1


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("view", ["/", "/?label=NEV&text=network", "/sample?key=set-006", "/nothing"])
def test_no_view_is_wider_than_its_window(site: str, chromium: Browser, view: str, width: int) -> None:
    chromium.resize(width, 800)
    chromium.open(site + view)
    assert chromium.value(WIDER) == 0


def test_every_control_has_a_name(site: str, chromium: Browser) -> None:
    chromium.open(f"{site}/?label=NEV")
    nameless = (
        "[...document.querySelectorAll('select, input, button, a, img')].filter((each) => "
        "!(each.labels?.length || each.textContent.trim() || each.alt || each.ariaLabel)).length"
    )
    assert chromium.value(nameless) == 0
