"""The form of a note: words, repetition, diversity. Nothing here knows of medicine."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from data_tools.config import AuditConfig
from data_tools.notes.audit.findings import Finding

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
PAIRS = 2000  # of notes whose similarity is looked at
SEQUENCE = 3  # words of a sequence whose repetition counts


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case; "blue-gray" is one."""
    return WORD.findall(text.lower())


def repetition(words: Sequence[str], length: int = SEQUENCE) -> float:
    """Share of the word sequences of this length that have been there before in the note, 0 to 1."""
    sequences = list(_sequences(words, length))
    return 1 - len(set(sequences)) / len(sequences) if sequences else 0.0


def distinct(notes: Iterable[Sequence[str]], length: int = 2) -> float:
    """Distinct-n of notes given as words: different word sequences over all of them, 0 to 1.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models"; 0.0 of nothing.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    for words in notes:
        counts.update(_sequences(words, length))
    return len(counts) / counts.total() if counts else 0.0


def self_similarity(notes: Sequence[Sequence[str]]) -> float:
    """Mean Jaccard similarity of the word sets of two notes, over up to `PAIRS` pairs drawn evenly, 0 to 1.

    0.0 where there are no two notes. The same notes in the same order give the same value.
    """
    sets = [set(words) for words in notes]
    generator = random.Random(len(sets))
    pairs = (
        [(generator.randrange(len(sets)), generator.randrange(len(sets))) for _ in range(PAIRS)]
        if len(sets) * (len(sets) - 1) // 2 > PAIRS
        else list(itertools.combinations(range(len(sets)), 2))
    )
    shares = [_jaccard(sets[one], sets[other]) for one, other in pairs if one != other]
    return sum(shares) / len(shares) if shares else 0.0


def check_form(words: Sequence[str], repeated: float, cfg: AuditConfig) -> list[Finding]:
    """Findings of the kinds empty, length and repetition, on the note as a whole."""
    if not words:
        return [Finding("empty", "no words")]
    findings = []
    if len(words) < cfg.min_words:
        findings.append(Finding("length", f"{len(words)} words, fewer than {cfg.min_words}"))
    if len(words) > cfg.max_words:
        findings.append(Finding("length", f"{len(words)} words, more than {cfg.max_words}"))
    if repeated > cfg.max_repetition:
        findings.append(Finding("repetition", f"{repeated:.0%} of its word sequences are repeated"))
    return findings


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _sequences(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(length)), strict=False)
