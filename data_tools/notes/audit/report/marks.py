"""The text of a note cut where findings begin and end, so that their places can be marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from data_tools.notes.audit.findings import Finding


@dataclass(frozen=True)
class Piece:
    """Some of a note's text, the findings that lie over all of it, and those among them that end here."""

    text: str
    findings: tuple[Finding, ...] = ()
    ending: tuple[Finding, ...] = ()

    @property
    def title(self) -> str:
        """What the findings say."""
        return "; ".join(f"{finding.kind}: {finding.detail}" for finding in self.findings)


def pieces(text: str, findings: Sequence[Finding]) -> list[Piece]:
    """`text` in pieces that together are the text. Findings without a place mark nothing."""
    placed = [f for f in findings if 0 <= f.start < f.end <= len(text)]
    cuts = sorted({0, len(text), *(f.start for f in placed), *(f.end for f in placed)})
    found = []
    for start, end in pairwise(cuts):
        over = tuple(f for f in placed if f.start <= start and end <= f.end)
        found.append(Piece(text[start:end], over, tuple(f for f in over if f.end == end)))
    return found
