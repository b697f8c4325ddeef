"""Sentences in several wordings, of which a hash of the record's key chooses one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

# Every sentence: the facts that it needs, in order of preference, and the wordings for exactly these facts.
# The first group whose facts are known is used; without one the sentence falls away.
Wordings = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
Sentences = tuple[tuple[str, Wordings], ...]  # with the name of each


def compose(sentences: Sentences, facts: Mapping[str, str], key: str) -> tuple[str, str]:
    """The text, and the wordings that it is made of as "name.group.number", separated by blanks."""
    texts, choices = [], []
    for name, wordings in sentences:
        for group, (needed, variants) in enumerate(wordings):
            if all(fact in facts for fact in needed):
                digest = hashlib.blake2b(f"{name}:{key}".encode(), digest_size=8).digest()
                number = int.from_bytes(digest, "big") % len(variants)
                texts.append(variants[number].format(**facts))
                choices.append(f"{name}.{group}.{number}")
                break
    return " ".join(texts), " ".join(choices)


def hash_of(sentences: Sentences) -> str:
    """Hash of all wordings, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(sentences).encode()).hexdigest()[:16]
