"""The stores that have to agree."""

from __future__ import annotations

import pytest

from store.stores import KINDS, make_store


@pytest.fixture(params=KINDS)
def store(request, runner, tmp_path):
    made = make_store(request.param, request, tmp_path)
    runner.run(made.open())
    yield made
    runner.run(made.close())
