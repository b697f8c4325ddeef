"""A note as spaCy tokens and clauses.

ConText looks no further than a sentence; here that is a clause: notes are full of headings, lists and
semicolons, and what one section denies says nothing of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from data_tools.notes.audit.terms import normalise

TOKEN = re.compile(r"\w*\d\.\d+\w*|\d+(?=[MF]\b)|\w+|\n|[^\w\s]")
LINE = re.compile(r"(?<![.:;!?,])\n(?=[ \t]*[a-z])")  # a line that only goes on in the next one
ENDS = frozenset(".!?;\n")
SHORT = frozenset({"dr", "vs", "cf", "approx", "ca", "incl", "mr", "mrs", "st"})
LIST = re.compile(r"differential|considerations|exclude|rule out", re.IGNORECASE)
OFFSETS = "offsets"  # in `Doc.user_data`: the character at which each token begins, and where the last ends


class NoteTokenizer:
    """Text to a `Doc` with clauses for sentences; `Doc.user_data[OFFSETS]` holds places in the text."""

    def __init__(self, vocab: Any) -> None:
        self.vocab = vocab

    def __call__(self, text: str) -> Any:
        """The `Doc`; one without tokens for a text without any."""
        from spacy.tokens import Doc

        found = list(TOKEN.finditer(normalise(LINE.sub(" ", text))))
        words = [match[0] for match in found]
        doc = Doc(self.vocab, words=words, sent_starts=list(_starts(words)) if words else None)
        doc.user_data[OFFSETS] = [(match.start(), match.end()) for match in found]
        return doc


def _starts(words: list[str]) -> Iterator[bool]:
    """Whether each token begins a clause."""
    listing = False  # "Differential diagnosis:" holds for the lines below it, up to an empty one
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if word == "\n":
            listing = before != "\n" and (listing or _opens_list(words, place))
            yield place == 0
        elif place == 0:
            yield True
        else:
            begins = _ends(words, place - 1) or _lettered(words, place) or _heading(words, place)
            yield begins and not (listing and before == "\n")


def _ends(words: list[str], place: int) -> bool:
    word = words[place]
    if word != ".":
        return word in ENDS
    before = words[place - 1].lower() if place else ""
    return not (before in SHORT or (len(before) == 1 and before.isalpha()))


def _lettered(words: list[str], place: int) -> bool:
    """Whether a section like "B)" begins here."""
    word = words[place]
    return (
        len(word) == 1
        and word.isalnum()
        and words[place + 1 : place + 2] == [")"]
        and words[place - 1] not in ("(", "or", "and")
    )


def _heading(words: list[str], place: int) -> bool:
    """Whether a heading like "Dermoscopic structures:" begins here, after a comma."""
    if words[place - 1] != "," or not words[place][0].isupper():
        return False
    following = words[place + 1 : place + 4]
    return ":" in following and all(word.isalpha() for word in following[: following.index(":")])


def _opens_list(words: list[str], place: int) -> bool:
    start = max((at for at in range(place) if words[at] in ENDS), default=-1) + 1
    line = words[start:place]
    return bool(line) and line[-1] == ":" and bool(LIST.search(" ".join(line)))
