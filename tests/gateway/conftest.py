"""Fixtures of the gateway tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A home without a gateway; `start` starts one."""
    gateway = Gateway()
    yield gateway
    gateway.close()
