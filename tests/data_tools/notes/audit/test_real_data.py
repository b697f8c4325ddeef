"""Template notes of real records: the words of real sources must not look like lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_tools.config import AuditConfig, ShardsConfig
from data_tools.notes.audit.engine import audit_notes
from data_tools.notes.strategies.metadata import MetadataTemplate
from data_tools.notes.strategies.primed import PrimedNote
from data_tools.notes.strategy import Settings
from data_tools.sources import read_source
from mmfm.config import load

RECIPE = Path(__file__).parents[4] / "configs" / "data" / "derm_cpu.yaml"
EVERY = 60  # records are looked at


@pytest.mark.realdata
def test_template_notes_of_real_records_have_no_findings(real_data: Path, tmp_path: Path) -> None:
    recipe = load(ShardsConfig, RECIPE, [f"root={real_data}", f"output={tmp_path / 'shards'}"])
    records = [item.record for source in recipe.sources for item in read_source(source, real_data).records]
    pairs = [
        (record, strategy.write(record, Settings()))
        for record in records[::EVERY]
        for strategy in (MetadataTemplate(), PrimedNote())
    ]
    audits = audit_notes(pairs, AuditConfig(), workers=1)
    assert len(pairs) > 500
    assert [pair for pair, audit in zip(pairs, audits, strict=True) if audit.findings] == []
