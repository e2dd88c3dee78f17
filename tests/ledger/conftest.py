"""Fixtures of the ledger tests: stores of both kinds, and a loop that lasts for a whole test."""

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
