"""Connections to the file: how it is opened, checked, migrated, and what its errors mean."""

from __future__ import annotations

import os
import time
from typing import Any

import apsw

from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.store.migrate import migrations, newer, pending, trouble

PACKAGE = "outlast.store.sqlite"
APPLICATION_ID = 0x6F75746C
"""``outl``: how a file says that it is ours."""

BUSY_MS = 30_000
"""How long a writer waits for another process's turn before it says ``store_busy``."""

_AGAIN_SECONDS = 0.01
"""Between two tries for what SQLite itself does not wait for."""

_WHAT_IT_MEANS: tuple[tuple[type[apsw.Error], str, str, str, bool], ...] = (
    (apsw.BusyError, "store_busy", "another process holds the store for too long", "try again", True),
    (apsw.LockedError, "store_busy", "another process holds the store for too long", "try again", True),
    (apsw.FullError, "store_full", "the disk is full", "free some space; nothing that was acknowledged is lost", True),
    (apsw.ReadOnlyError, "store_read_only", "the file cannot be written", "check its owner and its file system", True),
    (apsw.PermissionsError, "store_read_only", "the file cannot be written", "check its owner", True),
    (apsw.CorruptError, "store_damaged", "the file is damaged", "run `outlast doctor`, restore a backup", False),
    (apsw.NotADBError, "store_damaged", "the file is not a database", "restore a backup, or move it away", False),
    (apsw.CantOpenError, "store_unreachable", "the file cannot be opened", "check the path and its owner", True),
    (apsw.FormatError, "store_damaged", "the file is damaged", "run `outlast doctor`, restore a backup", False),
)


def explain(error: apsw.Error, path: str) -> GatewayTrouble:
    """Return what SQLite's error means to who asked."""
    for kind, code, meaning, hint, passes in _WHAT_IT_MEANS:
        if isinstance(error, kind):
            return trouble(f"{path}: {meaning} ({error})", code, hint, retryable=passes)
    return trouble(f"{path}: {error}", "store_error", "run `outlast doctor`", retryable=True)


def connect(path: str, *, writer: bool) -> apsw.Connection:
    """Open one connection and set it up. Readers cannot write even by mistake. Raises apsw.Error."""
    connection = apsw.Connection(
        path, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX, statementcachesize=128
    )
    connection.set_busy_timeout(BUSY_MS)
    cache = f"cache_size = {-4096 if writer else -1024}"
    # What a command really was is deleted with its end; what is deleted is to be gone from the file, and its copies.
    # FAST would leave it in pages that become free, and an environment is longer than one page.
    for pragma in ("synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY", cache):
        connection.execute(f"PRAGMA {pragma}")
    if not writer:
        connection.execute("PRAGMA query_only = 1")
    return connection


def prepare(path: str, *, read_only: bool) -> None:
    """Make the file, or check that it is ours and bring its schema up to date. Raises GatewayTrouble.

    A file that is damaged, newer or somebody else's is left as it is: nothing is written before that is known.
    """
    if not read_only:
        _make(path)
    elif not os.path.exists(path):
        raise trouble(f"there is no store at {path} yet", "store_missing", "nothing has been recorded", retryable=True)
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_MS)
            _check_ours(connection, path)
            if not read_only:
                _migrate(connection, path)
        finally:
            connection.close()
    except apsw.Error as error:
        raise explain(error, path) from error


def _make(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise trouble(
            f"{path} cannot be opened: {error.strerror}",
            "store_read_only" if error.errno in (13, 30) else "store_unreachable",
            "check the path, its owner and its file system",
            retryable=True,
        ) from error


def _check_ours(connection: apsw.Connection, path: str) -> None:
    # In this order: another process may be making the tables, and commits them with the number that says they are ours.
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    ours = connection.pragma("application_id")
    if tables and ours != APPLICATION_ID:
        raise trouble(f"{path} is not a store of outlast", "store_damaged", "move it away", retryable=False)
    newest = migrations(PACKAGE)[-1].number
    if (theirs := connection.pragma("user_version")) > newest:
        raise newer(path, theirs, newest)


def _migrate(connection: apsw.Connection, path: str) -> None:
    known = migrations(PACKAGE)
    if not pending(known, _applied(connection), path) and connection.pragma("journal_mode") == "wal":
        return
    _log_ahead(connection)
    connection.pragma("synchronous", "full")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again under the lock: another process may have been first.
        for step in pending(known, _applied(connection), path):
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO schema_version (number, name, checksum) VALUES (?, ?, ?)",
                (step.number, step.name, step.checksum),
            )
            connection.pragma("user_version", step.number)
        connection.pragma("application_id", APPLICATION_ID)
    except (apsw.Error, OutlastError):
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _log_ahead(connection: apsw.Connection) -> None:
    """Let readers and a writer not wait for each other. Of several that open a new file at once one is first.

    SQLite says at once that the file is locked instead of waiting: whoever tries holds a lock himself by then.
    """
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def _applied(connection: apsw.Connection) -> dict[int, str]:
    if connection.pragma("user_version") == 0:
        return {}
    rows: list[Any] = connection.execute("SELECT number, checksum FROM schema_version").fetchall()
    return dict(rows)
