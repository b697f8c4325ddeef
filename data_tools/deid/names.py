"""Names of people, by what stands around them and by lists of given names, in English, Spanish and Chinese.

No list knows all names: one that stands alone, without a title, a label or a known given name, is missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from data_tools.deid.hit import NAME, Hit

LISTS = Path(__file__).with_name("names.yaml")
WORD = r"[A-ZÁÉÍÓÚÑÜÇÖÄ][a-záéíóúñüçöäß]+(?:[-'’][A-ZÁÉÍÓÚÑ]?[a-záéíóúñ]+)?|(?:O['’]|Mc|Mac|De|Di)[A-Z][a-z]+"
INITIAL = r"[A-Z]\."
LINK = r"(?:de|del|de la|van|von|van der|da|bin|al)"
FULL = rf"(?:{INITIAL}\s*)*(?:{WORD})(?:\s+{INITIAL})*(?:\s+(?:{LINK}\s+)?(?:{WORD})){{0,3}}"
TITLE = (
    r"\b(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Drs|Prof|Sr|Sra|Srta|Dra|Dª)\b\.?|Professor|Doctora?|Profesora?|Nurse|Don|Doña"
    r"|Señora?|Señorita)"
)
LABEL = (
    r"(?:(?:\b(?i:my name is|name'?s|patient(?:'s)?\s+name(?:\s+is)?|full name|nombre(?:\s+completo)?"
    r"|me llamo|mi nombre es|se llama|apellidos?|surname|first name|last name|signed(?:\s+by)?"
    r"|firmado(?:\s+por)?|atendid[oa] por|next of kin|contact person"
    r"|(?:seen|referred|examined|reviewed|dictated|reported|operated|performed|verified) by)"
    r"|\b(?i:name|patient|paciente|attending|surgeon|physician|cc|attn)\s*[:=])[\s:：=]*)"
)
CLOSING = (
    r"(?:\b(?i:(?:kind |best |warm )?regards|sincerely|yours(?: truly| faithfully)?|atentamente|saludos"
    r"|un saludo|cordialmente)\s*[,.\n]\s*)"
)
GREETING = r"\b(?:Dear|Hi|Hello|Hola|Estimad[oa]|Querid[oa]|Thanks|Thank you|Gracias),?"


def find_names(text: str) -> Iterator[Hit]:
    """Names of people."""
    for pattern in _latin():
        for found in pattern.finditer(text):
            end = _end_of_name(text, found.start("name"), found.end("name"))
            if end > found.start("name"):
                yield Hit(NAME, found.start("name"), end)
    for pattern in _chinese():
        for found in pattern.finditer(text):
            yield Hit(NAME, found.start("name"), found.end("name"))


def _end_of_name(text: str, start: int, end: int) -> int:
    """Where a name ends, before the first word that is none; `start` if there is no word left."""
    last = start
    for word in re.finditer(r"[\w'’-]+\.?", text[start:end]):
        if word[0] in _words("no_surname"):
            break
        if len(word[0].rstrip(".")) > 1 and word[0][0].isupper():
            last = start + word.end()
    return last


@cache
def _lists() -> dict[str, str]:
    lists: dict[str, str] = yaml.safe_load(LISTS.read_text(encoding="utf-8"))
    return lists


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(_lists()[name].split())


@cache
def _latin() -> tuple[re.Pattern[str], ...]:
    known = "|".join(sorted(_words("given"), key=len, reverse=True))
    surname = rf"(?:\s+(?:{INITIAL}|(?:{LINK}\s+)?(?:{WORD}))){{1,4}}"
    return (
        re.compile(rf"{TITLE}\s+(?P<name>{FULL})"),
        re.compile(rf"{LABEL}(?:{TITLE}\s+)?(?P<name>{FULL})"),
        re.compile(rf"{CLOSING}(?P<name>{FULL})"),
        re.compile(
            rf"\b(?P<name>(?!(?:{known})\s+(?:{'|'.join(_words('no_surname'))})\b)(?:{known}){surname})"
        ),
        re.compile(
            rf"\b(?:Thanks(?: again)?|Thank you|Cheers|Gracias)[,.!]?\s+(?P<name>{FULL})[.!]?\s*$",
            re.MULTILINE,
        ),
        re.compile(rf"(?P<name>{FULL}),?\s+(?:M\.?D\b|D\.?O\b|R\.?N\b|Ph\.?D\b|FRCP|FAAD|MRCP)"),
        re.compile(rf"\b(?P<name>[A-Z][A-Z'’-]+,\s+(?:{known.upper()})\b)"),
        re.compile(rf"{GREETING}\s+(?P<name>(?:{known})\b)"),
        re.compile(rf"\b(?P<name>(?:{WORD}),\s+(?:{known})\b)(?:\s+{INITIAL})?"),
    )


@cache
def _chinese() -> tuple[re.Pattern[str], ...]:
    surname, other = f"[{_lists()['surnames']}]", f"[^{_lists()['no_name_after']}\\W\\d_a-zA-Z]"
    titles = "(?:医生|医师|大夫|主任|教授|先生|女士|小姐|护士|老师|院长)"
    return (
        re.compile(rf"(?P<name>{surname}{other}{{0,2}}){titles}"),
        re.compile(
            rf"(?:姓名|我叫|名叫|[子女儿娘婆夫妻妈爸]叫|名字是|联系人|家属|签名)[\s:：是为]*(?P<name>{surname}[一-鿿]{{1,2}})"
        ),
        re.compile(
            rf"(?:患者|病人|病患)[\s:：]*(?P<name>{surname}(?:某某?|××?|XX?|{other}{{2}}))(?=[，,。\s（(]|[男女])"
        ),
    )
