"""Stores for tests: every test gets an empty one, and async tests run in the loop it was opened in."""

from __future__ import annotations

import asyncio
import inspect

import pytest

PATIENCE = 240.0
"""Seconds after which an async test is a failure: less than a test may take, more than anything in it waits for."""


@pytest.fixture
def runner():
    with asyncio.Runner() as running:
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    wanted = {name: pyfuncitem.funcargs[name] for name in names}
    pyfuncitem.funcargs["runner"].run(asyncio.wait_for(pyfuncitem.obj(**wanted), PATIENCE))
    return True


@pytest.fixture(autouse=True)
def _with_runner(runner):
    """The hook needs the runner of every test here."""


@pytest.fixture
def sqlite_path(tmp_path):
    return str(tmp_path / "ledger.db")
