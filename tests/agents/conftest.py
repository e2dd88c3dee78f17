"""Fixtures for tests of runners."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from agent_running import Running


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts turns in a directory of their own; whatever is still running afterwards is ended."""
    started: list[Running] = []

    def begin(*args, **fields) -> Running:
        fields.setdefault("workdir", tmp_path)
        started.append(Running(*args, **fields))
        return started[-1]

    yield begin
    for running in started:
        running.close()
