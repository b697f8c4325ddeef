"""The audit as one HTML page: score cards, subgroups, and notes beside their images with what was found."""

from data_tools.notes.audit.report.examples import AuditedLesion, AuditedNote
from data_tools.notes.audit.report.page import write_report

__all__ = ["AuditedLesion", "AuditedNote", "write_report"]
