"""Imports between the packages point one way: launch -> data_tools -> mmfm, and launch -> slurm -> mmfm."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "mmfm": {"data_tools", "launch", "slurm"},
    "data_tools": {"launch", "slurm"},
    "slurm": {"data_tools", "launch"},
}


def imported_packages(path: Path) -> Iterator[str]:
    """Top-level packages that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_one_way(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in modules
        if (found := FORBIDDEN[package].intersection(imported_packages(path)))
    }
    assert not wrong


def test_every_imported_package_is_declared() -> None:
    """A package that only comes along with another one goes when that one drops it."""
    texts = [
        n.value for n in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(n, ast.Constant)
    ]
    declared = {re.split("[<>=!~]", text)[0].lower() for text in texts if isinstance(text, str)}
    ours = {"mmfm", *FORBIDDEN, "launch"}
    imported = {n for name in ours for path in (ROOT / name).rglob("*.py") for n in imported_packages(path)}
    names = packages_distributions()
    foreign = imported - ours - set(sys.stdlib_module_names)
    undeclared = {n for n in foreign if not declared & {dist.lower() for dist in names.get(n, [n])}}
    assert not undeclared
