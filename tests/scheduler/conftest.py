"""Fixtures of the scheduler tests: an empty database of each kind, and where the clock that stands still is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A kind of store and where an empty one is."""
    kind = str(request.param)
    return kind, str(tmp_path / "ledger.db") if kind == "sqlite" else request.getfixturevalue("pg_database")


@pytest.fixture
def file(tmp_path: Path) -> tuple[str, str]:
    """Where an empty file is: for what does not depend on the store."""
    return "sqlite", str(tmp_path / "ledger.db")
