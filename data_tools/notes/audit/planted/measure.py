"""Precision and recall of the audit on notes with known errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from data_tools.config import AuditConfig
from data_tools.notes.audit.engine import audit_note
from data_tools.notes.audit.findings import KINDS, Audit
from data_tools.notes.audit.planted.build import HALVES, Planted, planted_notes

ALL = "all"


@dataclass(frozen=True)
class Row:
    """One kind of finding in the set or in one half of it, counted in notes."""

    half: str  # `ALL`, or one of HALVES
    kind: str
    planted: int  # notes with such an error
    found: int  # notes with such a finding
    right: int  # notes with both

    @property
    def precision(self) -> float:
        """Share of the notes with the finding that have the error."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the notes with the error that have the finding."""
        return self.right / self.planted if self.planted else 1.0


@dataclass(frozen=True)
class Measured:
    """What the audit finds in the set."""

    rows: list[Row]  # by half and kind
    errors: dict[tuple[str, str], tuple[int, int]]  # (half, planted error) -> (found, planted)
    clean: dict[str, tuple[int, int]]  # half -> (clean notes without any finding, clean notes)
    misses: list[tuple[Planted, Audit]]  # notes on which found and planted kinds differ


def measure(planted: Sequence[Planted] | None = None) -> Measured:
    """Audit the set (`planted_notes`, or some other) and compare what is found with what was planted."""
    planted = planted_notes() if planted is None else planted
    cfg = AuditConfig()
    audits = [audit_note(each.record, each.note, cfg) for each in planted]
    both = list(zip(planted, audits, strict=True))
    return Measured(
        rows=[row for half in (ALL, *HALVES) for kind in KINDS if (row := _row(half, kind, both)).planted],
        errors=_errors(both),
        clean={
            half: (
                sum(not audit.findings for each, audit in both if each.half == half and not each.kind),
                sum(each.half == half and not each.kind for each in planted),
            )
            for half in HALVES
        },
        misses=[(each, audit) for each, audit in both if audit.kinds() != ({each.kind} - {""})],
    )


def format(measured: Measured) -> str:
    """The table for people: by kind with 95% Wilson intervals, then by planted error."""
    lines = [f"{'kind':<16}{'patterns':<10}{'planted':>8}{'precision':>24}{'recall':>24}"]
    for row in measured.rows:
        precision = _share(row.right, row.found)
        recall = _share(row.right, row.planted)
        lines.append(f"{row.kind:<16}{row.half:<10}{row.planted:>8}{precision:>24}{recall:>24}")
    lines += ["", f"{'planted error':<26}{'patterns':<10}{'notes':>8}{'found':>24}"]
    for (half, error), (found, count) in measured.errors.items():
        lines.append(f"{error:<26}{half:<10}{count:>8}{_share(found, count):>24}")
    for half, (spared, count) in measured.clean.items():
        lines.append(f"{'none: no finding at all':<26}{half:<10}{count:>8}{_share(spared, count):>24}")
    return "\n".join(lines)


def _row(half: str, kind: str, both: Sequence[tuple[Planted, Audit]]) -> Row:
    marks = [(each.kind == kind, kind in audit.kinds()) for each, audit in both if half in (ALL, each.half)]
    return Row(
        half,
        kind,
        planted=sum(planted for planted, _ in marks),
        found=sum(found for _, found in marks),
        right=sum(planted and found for planted, found in marks),
    )


def _errors(both: Sequence[tuple[Planted, Audit]]) -> dict[tuple[str, str], tuple[int, int]]:
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for each, audit in both:
        if each.error:
            found, count = counts.get((each.half, each.error), (0, 0))
            counts[each.half, each.error] = found + (each.kind in audit.kinds()), count + 1
    return counts


def _share(count: int, total: int) -> str:
    if not total:
        return "-"
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return f"{count / total:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
