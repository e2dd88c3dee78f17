"""Fixtures of the ledger tests: an empty database of each kind, and a loop that lasts for a whole test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all that a test does: stores live in the loop they were opened in."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A kind of store and where an empty one is."""
    kind = str(request.param)
    return kind, str(tmp_path / "ledger.db") if kind == "sqlite" else request.getfixturevalue("pg_database")
