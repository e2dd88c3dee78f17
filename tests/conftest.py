"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from houses import House


@pytest.fixture
def house() -> Iterator[House]:
    """A home of its own; whatever still runs in it afterwards is killed."""
    house = House()
    yield house
    house.close()
