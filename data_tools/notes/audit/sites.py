"""Body sites and what lies in what, from `sites.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Site:
    """A place: its name, further names, and all places that it lies in, up to the region."""

    name: str
    words: tuple[str, ...]  # its name first
    within: frozenset[str]


def _read() -> dict[str, Site]:
    sites: dict[str, Site] = {}

    def add(name: str, node: dict[str, Any], above: tuple[str, ...]) -> None:
        known = sites.get(name, Site(name, (name,), frozenset()))
        words = (*known.words, *node["names"])
        sites[name] = Site(name, words, known.within | set(above))
        for below, content in node.items():
            if below != "names":
                add(below, content, (*above, name))

    for region, node in yaml.safe_load(FILE.read_text()).items():
        add(region, node, ())
    return sites


SITES = _read()
SPREAD = ("acral skin",)  # in several regions at once, as what is named with "or" is
REGIONS = tuple(name for name, site in SITES.items() if not site.within)  # those that lie in no other
_BY_WORD = {word: site for site in reversed(SITES.values()) for word in site.words}


@cache
def site_named(words: str) -> Site | None:
    """The site with this name, in any case; None where there is none."""
    name = " ".join(words.lower().split())
    return _BY_WORD.get(name)


def region_of(words: str) -> str:
    """The region that a site lies in: "head and neck" for "nose"; the first of several; "" if unknown."""
    site = site_named(words)
    if site is None:
        return ""
    return next(region for region in REGIONS if region == site.name or region in site.within)


def agree(one: str, other: str) -> bool:
    """Whether two sites, by name, can be the same place.

    Equal, one within the other, or part of the other as "palm or sole" and "foot" are.
    """
    if one == other or one in SITES[other].within or other in SITES[one].within:
        return True
    either = any(" or " in name or name in SPREAD for name in (one, other))
    shared = (site for site in SITES.values() if {one, other} <= site.within)
    return either and any(shared)
