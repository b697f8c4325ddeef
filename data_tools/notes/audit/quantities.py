"""Ages, spans of time and skin types in a note: numbers with their units, as concepts at their places."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_tools.notes.audit.terms import Concept

UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = {
    name: 10 * count
    for count, name in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2
    )
}
DECADES = {f"{name[:-1]}ies": value for name, value in TENS.items()}
ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}

_WORD = rf"(?:(?:{'|'.join(TENS)})(?:[ ](?:{'|'.join(UNITS[1:10])}))?|(?:{'|'.join(reversed(UNITS))}))"
_NUMBER = rf"(?P<number>\d{{1,3}}(?:\.\d+)?|{_WORD})"
_ABOUT = r"(?:(?P<about>about|around|approximately|approx\.?|roughly|nearly|almost|circa|ca\.?)\s+)?"
_LOW = r"(?:(?P<low>\d{1,3})\s*(?:to|and|or|/|\s)\s*)?"  # "60 to 70"
AGES = (
    re.compile(
        rf"\b{_ABOUT}{_LOW}{_NUMBER}\s*(?P<unit>years?|yrs?|yr?|months?|weeks?|days?)?[\s./]*(?:old|o)\b"
    ),
    re.compile(
        rf"\baged?\b[\s:]*(?:(?:of|is|was|being|the|this|person|patient|group|between|from)[\s:]*)*{_ABOUT}{_LOW}{_NUMBER}\b(?!\s*(?:mm|cm))"
    ),
    re.compile(rf"\b{_ABOUT}{_NUMBER}\s*(?P<unit>years?|months?)\s+of\s+age\b"),
    re.compile(rf"\b(?:patient|man|woman|male|female)\s*(?:of|,|\()\s*{_ABOUT}{_NUMBER}\s*(?:years?\b|\)|,)"),
)
DECADE = re.compile(rf"\b(?P<part>early|mid|late)?\s*(?P<decade>[1-9]0\s?'?s|{'|'.join(DECADES)})\b")
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
ORDINAL = re.compile(rf"\b(?P<ordinal>{'|'.join(ORDINALS)})\s+decade\b(?:\s+of\s+life)?")
INITIAL = re.compile(r"\b(?:[Ss]ex|[Gg]ender|SEX|GENDER)\s*:\s*(?P<sex>[MFmf])\b")
SHORT = re.compile(r"\b(?P<number>\d{2})\s?(?:[yY]/?[oO]?\s?)?(?P<sex>[MF])\b")
PARTS = {"early": (0, 4), "mid": (3, 7), "late": (5, 9), None: (0, 9)}

_SOME = rf"(?:\d+(?:\.\d+)?|{_WORD}|several|many|few|couple\s+of|some|a|an)"
SINCE = re.compile(r"\bsince\s+(?:19|20)\d\d\b")
DURATION = re.compile(
    rf"\b{_SOME}(?:\s*(?:to|or|,|/|\s)\s*{_SOME})?\s+(?:days?|weeks?|months?|years?|decades?)\b"
)
LATER = re.compile(
    r"(?:\b(?:in|every|within|after|next|follow\s?up|per|each|for the next)\s+(?:the\s+)?(?:next\s+)?)$"
)

_TYPE = r"(?P<type>vi|iv|v|i{1,3}|[0-9])\b(?:\s*(?:to|or|/|,|\s)\s*(?P<last>vi|iv|v|i{1,3}|[0-6])\b)?"
TONES = (
    re.compile(
        rf"\bfitzpatrick\b(?:'s)?[\s:]*(?:(?:skin|photo|type|phototype|class|scale|of|is|tone)[\s:]*)*{_TYPE}"
    ),
    re.compile(rf"\b(?:photo\s?type|skin\s?type)[\s:]*(?:(?:is|of|fitzpatrick)[\s:]*)*{_TYPE}"),
    re.compile(rf"\btype\s+{_TYPE}\s+skin\b"),
    re.compile(rf"\btone\b[\s:]*(?:(?:is|of|type|class|grade)[\s:]*)*(?P<class>class\s+)?{_TYPE}"),
)


def quantities(text: str) -> Iterator[tuple[int, int, Concept]]:
    """(start, end, concept) of each in `text`, which is normalised, with its case."""
    lower = text.lower()
    taken: list[tuple[int, int]] = []
    for start, end, concept in (*_ages(lower), *_short(text), *_tones(lower), *_durations(lower)):
        if not any(start < last and first < end for first, last in taken):
            taken.append((start, end))
            yield start, end, concept


def number_of(word: str) -> float:
    """The number that a word or digits mean: 62 for "sixty two"."""
    if word[0].isdigit():
        return float(word)
    first, _, second = word.partition(" ")
    if first in TENS:
        return float(TENS[first] + (UNITS.index(second) if second else 0))
    return float(UNITS.index(first))


def _ages(text: str) -> Iterator[tuple[int, int, Concept]]:
    for pattern in AGES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            years = number_of(match["number"])
            unit = groups.get("unit") or "year"
            years /= {"m": 12, "w": 52, "d": 365}.get(unit[0], 1)
            slack = 5.0 if groups["about"] else 0.5
            low = float(groups.get("low") or years)
            yield match.start(), match.end(), Concept("age", match[0], span=(low - slack, years + slack))
    for match in ORDINAL.finditer(text):
        first = 10 * ORDINALS.index(match["ordinal"])
        yield match.start(), match.end(), Concept("age", match[0], span=(first, first + 9))
    for match in DECADE.finditer(text):
        decade = match["decade"]
        first = DECADES.get(decade) or int(decade[:2])
        low, high = PARTS[match["part"]]
        if re.search(
            r"\b(?:in|during)\s+(?:his|her|their|the)\s+(?:early|mid|late)?\s*$",
            text[: match.start("decade")],
        ):
            yield (
                match.start(),
                match.end(),
                Concept("age", match[0].strip(), span=(first + low, first + high)),
            )


def _short(text: str) -> Iterator[tuple[int, int, Concept]]:
    """ "62F", "Sex: F"."""
    for match in SHORT.finditer(text):
        years = number_of(match["number"])
        yield match.start("number"), match.end("number"), Concept("age", match["number"], span=(years, years))
        yield match.start("sex"), match.end("sex"), _sex(match["sex"])
    for match in INITIAL.finditer(text):
        yield match.start("sex"), match.end("sex"), _sex(match["sex"])


def _sex(initial: str) -> Concept:
    return Concept("sex", "female" if initial in "fF" else "male")


def _tones(text: str) -> Iterator[tuple[int, int, Concept]]:
    for pattern in TONES:
        for match in pattern.finditer(text):
            first = _type(match["type"])
            last = _type(match["last"]) if match["last"] else first
            scale = (
                "class" if match.groupdict().get("class") else "fitzpatrick" if "tone" not in match[0] else ""
            )
            yield match.start(), match.end(), Concept("skin_tone", match[0], value=scale, span=(first, last))


def _type(word: str) -> float:
    return float(ROMAN.get(word) or word)


def _durations(text: str) -> Iterator[tuple[int, int, Concept]]:
    for match in (*DURATION.finditer(text), *SINCE.finditer(text)):
        if not LATER.search(text[: match.start()]):
            yield match.start(), match.end(), Concept("history", "duration")
