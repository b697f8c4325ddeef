"""Real tables, read once for all tests that look at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from data_tools.config import ShardsConfig
from data_tools.patches import apply_patches, load_patches
from data_tools.sources import SourceResult, read_source
from mmfm.config import load
from mmfm.records import Record

RECIPES = Path(__file__).parents[3] / "configs" / "data"


@pytest.fixture(scope="session")
def official(real_data: Path) -> list[SourceResult]:
    """The sources of the CPU recipe as they were published; to be left as they are."""
    recipe = load(ShardsConfig, RECIPES / "derm_cpu.yaml")
    return [read_source(source, real_data) for source in recipe.sources]


@pytest.fixture(scope="session")
def with_patches():  # type: ignore[no-untyped-def]
    """A function that gives copies of records, corrected by the built-in patches."""

    def patched(records: Iterable[Record]) -> list[Record]:
        copies = [replace(record, extras=dict(record.extras)) for record in records]
        apply_patches(copies, load_patches(["builtin"]))
        return copies

    return patched
