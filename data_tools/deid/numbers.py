"""Numbers that belong to one person: telephones, records, national ids, accounts.

Telephone numbers are those of Google's libphonenumber; check digits are tested by python-stdnum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from data_tools.deid.hit import ACCOUNT, IP, NATIONAL, PHONE, RECORD, Hit, matches

REGIONS = ("US", "GB", "ES", "MX", "CN")  # whose national numbers are taken, besides all international ones
# ASCII throughout: a word of Latin letters ends where a Chinese one begins.
LABEL_PHONE = re.compile(
    r"(?:\b(?:tel(?:ephone|éfono)?|phone|mobile|cell|fax|m[óo]vil|call(?: me)?(?: at| on)?)\b"
    r"|电话|手机|联系方式)"
    r"[\s.:：#]*(?:no\.?|number|号码?)?[\s.:：是为]*(\+?[\d(][\d\s().-]{5,}\d)",
    re.IGNORECASE | re.ASCII,
)
RECORD_LABELS = (
    r"\b(?:MRN|M\.R\.N\.|NHC|UHID|accession|expediente)\b",
    r"\b(?:medical[ -]record|patient|pt\.?|hospital|chart|case|encounter|specimen|biopsy|pathology|visit"
    r"|admission|insurance|policy|member(?:ship)?|account|slide|referral)\s*(?:no\b\.?|nr\b\.?|number|num\b\.?|id\b|#)",
    r"\b(?:historia\s+cl[íi]nica|n[úu]mero\s+de\s+(?:historia|paciente|expediente|p[óo]liza))",
    r"(?:病历|住院|门诊|病案|就诊|登记|病理|检查|医保|卡)+号?码?",
)
RECORD_NUMBER = re.compile(
    rf"(?:{'|'.join(RECORD_LABELS)})(?:\s+(?:no\b\.?|number|is|was))*[\s:：#.=是为nNºo°]*"
    r"([A-Z]{0,4}[-/ ]?\d[\dA-Z/-]{3,})",
    re.IGNORECASE | re.ASCII,
)
ACCESSION = re.compile(r"(?<![\w-])[A-Z]{1,3}\d\d-\d{4,6}(?![\w-])")  # as pathologists number cases
LABEL_NATIONAL = re.compile(
    r"(?:\b(?:SSN|social\s+security(?:\s+(?:no\.?|number))?|DNI|NIE|NIF|CURP|passport(?:\s+(?:no\.?|number))?"
    r"|pasaporte|NHS(?:\s+(?:no\.?|number)))\b|身份证号?码?|护照号?码?)"
    r"[\s:：#.=是为isnº°]*((?=[\w -]*\d{3})[A-Z0-9][A-Z0-9 -]{4,20}[A-Z0-9])",
    re.IGNORECASE | re.ASCII,
)
CHECKED = (  # a shape, the module of python-stdnum that knows its check digit, and what it is
    (re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), "us.ssn", NATIONAL),
    (re.compile(r"(?<!\w)\d{17}[\dXx](?!\w)"), "cn.ric", NATIONAL),
    (re.compile(r"(?<!\w)\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Z](?!\w)"), "es.dni", NATIONAL),
    (re.compile(r"(?<!\w)[XYZ][- ]?\d{7}[- ]?[A-Z](?!\w)"), "es.nie", NATIONAL),
    (re.compile(r"(?<![\w-])\d{3} \d{3} \d{4}(?![\w-])"), "gb.nhs", NATIONAL),
    (re.compile(r"(?<!\w)[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d(?!\w)"), "mx.curp", NATIONAL),
    (re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z\d]{4}){3,7}(?: ?[A-Z\d]{1,3})?(?!\w)"), "iban", ACCOUNT),
    (re.compile(r"(?<![\w-])(?:\d{4}[ -]){3}\d{4}(?![\w-])|(?<!\w)\d{16}(?!\w)"), "luhn", ACCOUNT),
)
INTERNET = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])")
PART_BEFORE = re.compile(r"(?:[A-Za-z0-9_]|[A-Za-z0-9_][-./_]|\d,)$")  # numbers in names of files, decimals
PART_AFTER = re.compile(r"[A-Za-z_]|[-./,]\w")
SEPARATORS = re.compile(r"[ .-]")
ENOUGH = re.compile(r"(?:\d[^\d\n]{0,3}){6}\d")  # digits that a telephone number has at least


def find_numbers(text: str) -> Iterator[Hit]:
    """Numbers of records, people and accounts, and telephone numbers."""
    yield from matches(RECORD, RECORD_NUMBER, text, 1)
    yield from matches(RECORD, ACCESSION, text)
    yield from matches(NATIONAL, LABEL_NATIONAL, text, 1)
    for pattern, module, kind in CHECKED:
        for found in pattern.finditer(text):
            if _validator(module)(SEPARATORS.sub("", found[0])):
                yield Hit(kind, found.start(), found.end())
    yield from matches(IP, INTERNET, text)
    yield from matches(PHONE, LABEL_PHONE, text, 1)
    if ENOUGH.search(text):
        yield from _phones(text)


def _phones(text: str) -> Iterator[Hit]:
    from phonenumbers import Leniency, PhoneNumberMatcher  # here: it reads the numbers of all the world

    for region in REGIONS:
        for found in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            if not (
                PART_BEFORE.search(text[max(found.start - 2, 0) : found.start])
                or PART_AFTER.match(text, found.end)
            ):
                yield Hit(PHONE, found.start, found.end)


def _validator(module: str) -> Callable[[str], bool]:
    from importlib import import_module

    valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return valid
