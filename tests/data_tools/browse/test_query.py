"""Views and their addresses; the columns that views are chosen from."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_tools.browse.columns import ANY, Category, Flags, Texts
from data_tools.browse.query import SORTS, Query

WORDS = st.text(max_size=12).map(str.strip)
VIEWS = st.builds(
    Query,
    **{each.name: WORDS for each in fields(Query) if each.name not in ("sort", "page")},
    sort=st.sampled_from(list(SORTS)),
    page=st.integers(1, 10**6),
)


@given(view=VIEWS)
def test_an_address_holds_the_whole_view(view: Query) -> None:
    assert Query.parse(view.words) == view
    assert Query.parse(view.words).words == view.words


@given(words=st.text(max_size=60))
def test_an_address_never_fails(words: str) -> None:
    assert Query.parse(words).page >= 1


def test_what_an_address_does_not_know_is_left_at_its_default() -> None:
    assert Query.parse("sort=colour&page=-3&nonsense=1&key=x") == Query()
    assert Query.parse("page=" + "9" * 5000) == Query()
    assert Query.parse("label=MEL&label=NEV").label == "NEV"


def test_another_filter_goes_to_the_first_page() -> None:
    assert Query(page=7).but(label="MEL").words == "label=MEL"


@given(values=st.lists(st.sampled_from(["b", "a", "", "c"]), min_size=1), data=st.data())
def test_a_category_counts_its_words(values: list[str], data: st.DataObject) -> None:
    column = Category.of(values, first=["c"])
    assert column.words == [word for word in ("c", "a", "b", "") if word in values]
    assert [column.words[code] for code in column.codes] == values
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    kept = [value for value, there in zip(values, chosen, strict=True) if there]
    assert column.counts(chosen) == {word: kept.count(word) for word in column.words}
    assert not column.mask("nowhere").any()


@given(values=st.lists(st.sets(st.sampled_from("abc"))))
def test_flags_know_each_word_and_any(values: list[set[str]]) -> None:
    column = Flags.of(values, first="b")
    for word in "abc":
        assert list(column.mask(word)) == [word in value for value in values]
    assert list(column.mask(ANY)) == [bool(value) for value in values]


@given(texts=st.lists(st.text(alphabet="aBc.*\n", max_size=8), max_size=6), words=st.text("abC.", min_size=1))
def test_words_are_found_in_any_case_and_are_no_pattern(texts: list[str], words: str) -> None:
    found = Texts([texts[:3], texts[3:]]).mask(words)
    assert list(found) == [words.lower() in text.lower() for text in texts]
