"""Which notes lie: every note against the metadata of its lesion, and what is refused for it."""

from data_tools.notes.audit.findings import (
    ATTRIBUTES,
    CONTRADICTIONS,
    KINDS,
    VERSION,
    Audit,
    Finding,
    refusals,
)

__all__ = ["ATTRIBUTES", "CONTRADICTIONS", "KINDS", "VERSION", "Audit", "Finding", "refusals"]
