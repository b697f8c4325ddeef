"""Leaks: notes that must not tell the class and do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from data_tools.config import AuditConfig
from data_tools.notes.audit.findings import Finding
from data_tools.notes.audit.reader import Mention
from data_tools.notes.audit.truth import Truth
from data_tools.notes.strategies import STRATEGIES

# Even a doubtful or compared mention gives the class away; a denied one does not.
TELLING = frozenset({"affirmed", "uncertain", "hypothetical", "heading", "listed"})


def is_hidden(name: str, cfg: AuditConfig) -> bool:
    """Whether notes of this name must not tell the class."""
    base = name.partition("-")[0]
    label = STRATEGIES[base].label if base in STRATEGIES else "given"
    return label == "hidden" or name in cfg.hidden or base in cfg.hidden


def check_leak(mentions: Iterable[Mention], truth: Truth) -> Iterator[Finding]:
    """Mentions of the lesion's own class, or of something within it."""
    for mention in mentions:
        classes = mention.concept.classes
        if mention.concept.kind != "diagnosis" or mention.assertion not in TELLING:
            continue
        if len(classes) == 1 and classes <= truth.classes and len(mention.alternatives) < 3:
            yield Finding("leak", f"tells {mention.text}", mention.start, mention.end)
