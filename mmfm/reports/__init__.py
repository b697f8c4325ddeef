"""Reports: one self-contained HTML page from a run folder or a pipeline folder."""

from mmfm.reports.report import write_report

__all__ = ["write_report"]
