"""Where somebody lives or is met: street addresses, postal codes, e-mail, pages, handles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_tools.deid.hit import ADDRESS, EMAIL, HANDLE, URL, Hit, matches

MAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
SPELT_MAIL = re.compile(r"[\w.+-]+\s?[\[(]at[\])]\s?[\w-]+(?:\s?(?:\.|[\[(]?dot[\])]?)\s?\w+)+", re.ASCII)
PAGE = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'，。；）)]+|(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|cn|es|uk|de|info)"
    r"(?:/[^\s<>\"'，。；）)]*)?(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
ACCOUNT_NAME = re.compile(
    r"(?:微信号?|QQ号?|\b(?:QQ|we ?chat|whats ?app|instagram|telegram|twitter|facebook|skype)\b)"
    r"[\s:：是为]*(?:id|号|is)?[\s:：是为@]*([A-Za-z]*[\d_][\w.-]{3,}\w)",
    re.IGNORECASE | re.ASCII,
)
AT_NAME = re.compile(r"(?<![\w.@])@[A-Za-z_]\w{2,}", re.ASCII)
# ASCII throughout: a word of Latin letters ends where a Chinese one begins.
CAPITAL = r"[A-ZÁÉÍÓÚÑ][\wáéíóúñü'’.-]+"
STREETS = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace"
    r"|Crescent|Gardens|Gdns|Grove|Mews|Circle|Trail|Highway|Hwy|Parkway|Pkwy|Close|Way)"
)
STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]"
    "|W[AIVY]"
)
ADDRESS_FORMS = (
    rf"\b\d{{1,5}}[A-Z]?\s+(?:[NSEW]\.?\s+)?(?:(?:{CAPITAL}|\d+(?:st|nd|rd|th))\s+){{1,3}}{STREETS}\b",
    r"\b(?i:P\.?\s?O\.?\s?Box)\s+\d+",
    rf"\b(?:{STATES})\s+\d{{5}}(?:-\d{{4}})?\b",
    r"\b(?:[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]?)\s\d[ABD-HJLNP-UW-Z]{2}\b",
    r"\b(?:C/|Calle|Avda\.?|Avenida|Plaza|Paseo|Camino|Carrer|Gran Vía|Vía|Ronda|Travesía)\s*"
    rf"(?:(?:de|del|la|las|los|el)\s+)*{CAPITAL}(?:\s+(?:(?:de|del|la|las|los)\s+)*{CAPITAL})*,?\s+(?:n[ºo°.]+\s*|número\s+)?\d{{1,4}}\b",
    r"(?:\b(?i:C\.?P\.?|código postal|zip(?: code)?|postcode)|邮编)[\s:：]*\d{5,6}\b",
    r"[一-鿿]{1,8}(?:路|街|巷|弄|大道|胡同|新村|小区)\s*\d{1,5}\s*(?:号|弄|栋|幢|室)",
)
ADDRESSES = tuple(re.compile(form, re.ASCII) for form in ADDRESS_FORMS)


def find_places(text: str) -> Iterator[Hit]:
    """Addresses of every kind."""
    yield from matches(EMAIL, MAIL, text)
    yield from matches(EMAIL, SPELT_MAIL, text)
    yield from matches(URL, PAGE, text)
    yield from matches(HANDLE, ACCOUNT_NAME, text, 1)
    yield from matches(HANDLE, AT_NAME, text)
    for pattern in ADDRESSES:
        yield from matches(ADDRESS, pattern, text)
