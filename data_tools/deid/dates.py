"""Dates finer than a year, and ages that few people reach, in English, Spanish and Chinese.

Both are among the identifiers of the HIPAA Safe Harbor rule (45 CFR 164.514(b)(2)). A year alone is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_tools.deid.hit import AGE, DATE, Hit, matches

YEAR = r"(?:1[89]|20)\d\d"
ENGLISH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
SPANISH = (
    r"(?i:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre)"
)
SHORT_SPANISH = r"(?i:ene|feb|mar|abr|may|jun|jul|ago|sept?|oct|nov|dic)\b\.?"
ORDINAL = r"(?:st|nd|rd|th)?"
NUMERIC = re.compile(
    rf"(?<![\w.,/-])(?:(?P<y>{YEAR})(?P<s>[-/.])(?P<m>\d\d?)(?P=s)(?P<d>\d\d?)"
    rf"|(?P<a>\d\d?)(?P<t>[-/.])(?P<b>\d\d?)(?P=t)(?P<z>{YEAR})|(?P<e>\d\d?)/(?P<f>\d\d?)/\d\d)(?!(?!T\d)\w|[/-]|[.,]\d)"
)
WORD_FORMS = (
    rf"\b\d\d?{ORDINAL}\s+(?:of\s+)?{ENGLISH}(?:,?\s+{YEAR}\b)?(?!\w)",
    rf"\b{ENGLISH}\s+\d\d?{ORDINAL}(?:,?\s+{YEAR})?\b(?!\s*(?:mm|cm|mg|ml|%|x\d))",
    rf"\b{ENGLISH},?\s+(?:of\s+)?{YEAR}\b",
    rf"\b\d\d?\s+de\s+{SPANISH}(?:\s+(?:de|del)\s+{YEAR})?\b",
    rf"\b\d\d?\s+(?:de\s+)?{SHORT_SPANISH}\s+(?:del?\s+)?{YEAR}\b",
    rf"\b{SPANISH}\s+(?:de|del)\s+{YEAR}\b",
    rf"(?:{YEAR}|[一二〇零○][一二三四五六七八九〇零○]{{3}})\s*年\s*\d\d?\s*月(?:\s*\d\d?\s*[日号])?",
    r"(?<!\d)[012]\d\s*年\s*\d\d?\s*月(?:\s*\d\d?\s*[日号])?",
    r"(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)",
    r"(?<!\d)\d\d?\s*月\s*\d\d?\s*[日号]",
)
WORDS = tuple(re.compile(form, re.ASCII) for form in WORD_FORMS)  # Latin letters end where Chinese begin
OLD = r"(?:9\d|1[01]\d)"
AGES = (
    re.compile(rf"(?<![\d.,-])({OLD})[- ]?(?:years?|yrs?)[- ](?:old|of age)\b", re.IGNORECASE),
    re.compile(rf"(?<![\d.,-])({OLD})\s?(?:y/o|y\.o\.|yo)\b", re.IGNORECASE),
    re.compile(rf"\b(?:aged?|age[d:]?)\s*(?:of\s+|is\s+)?({OLD})\b(?!\s*%)", re.IGNORECASE),
    re.compile(rf"\b(?:de|tiene|con|edad:?)\s+({OLD})\s+años\b", re.IGNORECASE),
    re.compile(rf"(?<![\w.,-])({OLD})\s?/?\s?[MF]\b"),
    re.compile(rf"(?<!\d)({OLD})\s*岁"),
)


def find_dates(text: str) -> Iterator[Hit]:
    """Dates that name a day or a month of a year."""
    for found in NUMERIC.finditer(text):
        if _is_date(found):
            yield Hit(DATE, found.start(), found.end())
    for pattern in WORDS:
        yield from matches(DATE, pattern, text)


def find_ages(text: str) -> Iterator[Hit]:
    """Ages from 90 on."""
    for pattern in AGES:
        yield from matches(AGE, pattern, text, 1)


def _is_date(found: re.Match[str]) -> bool:
    """Whether the numbers can be a month and a day, in either order unless the year comes first."""
    if found["y"]:
        return 1 <= int(found["m"]) <= 12 and 1 <= int(found["d"]) <= 31
    first, second = int(found["a"] or found["e"]), int(found["b"] or found["f"])
    return 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31
