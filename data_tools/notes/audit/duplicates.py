"""Notes of one name that are all but the same, by MinHash (datasketch)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

SHINGLE = 3  # words
PERMUTATIONS = 64
SIMILAR = 0.9  # Jaccard similarity of the shingles from which two notes count as the same


class NearDuplicates:
    """The notes of one name, given as words, by what is all but the same."""

    def __init__(self, notes: Sequence[Sequence[str]]) -> None:
        self._texts = [" ".join(words) for words in notes]
        counts = Counter(self._texts)
        self._neighbors = _neighbors(list(counts))
        self._others = {
            text: sum(counts[other] for other in neighbors) + counts[text] - 1
            for text, neighbors in self._neighbors.items()
        }

    def others(self, number: int) -> int:
        """How many other notes are all but the same as this one."""
        return self._others[self._texts[number]]

    def beyond(self, limit: int) -> list[bool]:
        """For each note, in order: whether `limit` notes like it have come before and were kept."""
        kept: Counter[str] = Counter()
        result = []
        for text in self._texts:
            full = kept[text] + sum(kept[other] for other in self._neighbors[text]) >= limit
            result.append(full)
            kept[text] += not full
        return result


def _neighbors(texts: Sequence[str]) -> dict[str, list[str]]:
    """For each of different texts the others that are similar."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    prints = dict(zip(texts, _prints(texts), strict=True))
    same: defaultdict[bytes, list[str]] = defaultdict(list)  # texts whose prints do not differ at all
    for text, print_ in prints.items():
        same[print_.hashvalues.tobytes()].append(text)
    for key, members in same.items():
        index.insert(key, prints[members[0]])
    found: dict[str, list[str]] = {}
    for key, members in same.items():
        first = prints[members[0]]
        near = [
            other
            for near_key in index.query(first)
            if near_key == key or first.jaccard(prints[same[near_key][0]]) >= SIMILAR
            for other in same[near_key]
        ]
        found |= {text: [other for other in near if other != text] for text in members}
    return found


def _prints(texts: Sequence[str]) -> list[Any]:
    from datasketch import MinHash

    shingles = [[shingle.encode() for shingle in _shingles(text.split())] for text in texts]
    return list(MinHash.bulk(shingles, num_perm=PERMUTATIONS, seed=1)) if texts else []


def _shingles(words: list[str]) -> set[str]:
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}
