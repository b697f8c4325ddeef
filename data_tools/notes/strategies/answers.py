"""Answers of language models, brought into the form of a note."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from data_tools.notes.strategy import UnusableAnswerError

FENCE = re.compile(r"^```\w*\s*(.*?)\s*(?:```)?$", re.DOTALL)
MARKDOWN = re.compile(r"\*\*|__|`|^\s{0,3}#{1,6}\s+|^\s*[-*•]\s+", re.MULTILINE)
LETTER = re.compile(r"(?:^|(?<=[\s;.]))([A-F])[).:]\s+")
BRACKETED = re.compile(r"(?:^|(?<=[\s;.]))([A-F])\)\s+")  # as it was asked; "vitamin D. " is none
BRACE = re.compile(r"\{")
MOST_BRACES = 50  # that are tried as the beginning of a JSON object
THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def plain_text(answer: str) -> str:
    """`answer` as running text on one line, without marks of layout.

    Raises `UnusableAnswerError` where no word is left.
    """
    text = " ".join(MARKDOWN.sub("", unfenced(answer)).split())
    if text.count('"') == 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    if not re.search(r"[^\W\d_]{2}", text):
        raise UnusableAnswerError("the answer holds no words")
    return text


def json_object(answer: str, keys: Sequence[str]) -> dict[str, Any] | None:
    """The JSON object with all of `keys` that `answer` is or holds; None where it holds none at all.

    Raises `UnusableAnswerError` for JSON that is broken, or that lacks a key.
    """
    text = unfenced(answer)
    reason = ""
    for brace in list(BRACE.finditer(text))[:MOST_BRACES]:
        try:
            value, _ = json.JSONDecoder().raw_decode(text, brace.start())
        except json.JSONDecodeError as error:
            reason = reason or f"the JSON is broken or cut off: {error.msg}"
            continue
        missing = [key for key in keys if key not in value]
        if not missing:
            return dict(value)
        reason = reason or f"the JSON lacks {', '.join(missing)}"
    if reason and not LETTER.search(text):  # a list may have braces of its own
        raise UnusableAnswerError(reason)
    return None


def lettered(answer: str, letters: str) -> dict[str, str]:
    """What stands behind each of `letters` in an answer of the form "A) ... B) ...", on one line each.

    Text before the first letter falls away. Raises `UnusableAnswerError` where a letter is missing, has
    nothing behind it, or is out of order.
    """
    text = MARKDOWN.sub("", unfenced(answer))
    for pattern in (BRACKETED, LETTER):
        found = [match for match in pattern.finditer(text) if match[1] in letters]
        names = "".join(match[1] for match in found)
        if names == letters:
            break
    if names != letters:
        raise UnusableAnswerError(f"the answer has the sections {names or 'none'} where {letters} are asked")
    ends = [*(match.start() for match in found[1:]), len(text)]
    parts = {match[1]: text[match.end() : end].strip() for match, end in zip(found, ends, strict=True)}
    empty = [letter for letter, part in parts.items() if not part]
    if empty:
        raise UnusableAnswerError(f"nothing stands behind {', '.join(empty)}")
    return parts


def words_of(value: Any, key: str) -> str:
    """A string of an answer on one line. Raises `UnusableAnswerError` for anything else."""
    if not isinstance(value, str):
        raise UnusableAnswerError(f"{key} is no text")
    return " ".join(value.split())


def list_of(value: Any, key: str) -> list[str]:
    """The strings of a list, each once, in their order. Raises `UnusableAnswerError` for anything else."""
    values = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(words_of(one, key) for one in values))


def without_heading(text: str, heading: str) -> str:
    """ "Border: sharp." without the heading that repeats the question, and without the stop: "sharp"."""
    text = " ".join(text.split())
    text = re.sub(rf"^{heading}\b[^:\n]*:\s*", "", text, flags=re.IGNORECASE)
    return text.rstrip(" .;,")


def sentence(text: str) -> str:
    """`text` with a capital at the start and a stop at the end."""
    return text and text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def unfenced(answer: str) -> str:
    """`answer` without a code fence around it, and without the thoughts that some models write first."""
    text = THINKING.sub("", answer).strip()
    fenced = FENCE.match(text)
    return fenced[1] if fenced else text
