"""Connections to the server: how they are opened, migrated, and what their errors mean."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo, errors

from outlast.core.errors import GatewayTrouble
from outlast.store.migrate import migrations, pending, trouble
from outlast.store.statements import PARAMETER

PACKAGE = "outlast.store.postgres"

WRITE_ORDER = 0x6F75746C_0001
"""The advisory lock of writers: its holder writes, so ids of events follow the order of commits on all nodes."""

MIGRATING = 0x6F75746C_0002
"""The advisory lock of who brings the schema up to date."""

CHANNEL = "outlast"
"""Where commits are told to other nodes."""

Connection = psycopg.Connection[tuple[Any, ...]]

# A node that freezes inside a transaction must not hold up the others for longer than this.
_OPTIONS = {
    "application_name": "outlast", "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 3,
    "keepalives_count": 3, "tcp_user_timeout": 15_000,
    "options": "-c idle_in_transaction_session_timeout=10s -c lock_timeout=20s -c synchronous_commit=on",
}  # fmt: skip


def spelled(sql: str) -> str:
    """Return a statement with psycopg's way to write parameters."""
    return PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def place_of(dsn: str) -> str:
    """Return an address that may be shown: without the password."""
    try:
        known = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError:
        return "postgresql"
    where = "".join((known.get("host", "local"), ":" if "port" in known else "", known.get("port", "")))
    return f"postgresql {known.get('dbname', '')} at {where}"


def explain(error: BaseException, place: str) -> GatewayTrouble:
    """Return what the server's error means to who asked."""
    match error:
        case errors.ReadOnlySqlTransaction():
            code, meaning, passes = "store_read_only", "it cannot be written to now", True
        case errors.DiskFull() | errors.OutOfMemory():
            code, meaning, passes = "store_full", "the server has no room", True
        case errors.LockNotAvailable() | errors.DeadlockDetected() | errors.SerializationFailure():
            code, meaning, passes = "store_busy", "others hold it for too long", True
        case errors.DataCorrupted() | errors.IndexCorrupted():
            code, meaning, passes = "store_damaged", "the database is damaged", False
        case errors.UndefinedTable() | errors.UndefinedColumn():
            code, meaning, passes = "store_damaged", "the tables are not as they should be", False
        case psycopg.OperationalError() | errors.AdminShutdown() | errors.IdleInTransactionSessionTimeout():
            code, meaning, passes = "store_unreachable", "the server does not answer", True
        case _:
            code, meaning, passes = "store_error", "the server refused a statement", True
    first = str(error).strip().partition("\n")[0]
    return trouble(f"{place}: {meaning} ({first})", code, "run `outlast doctor`", retryable=passes)


def connect(dsn: str) -> Connection:
    """Open a connection in autocommit mode. Raises psycopg.Error."""
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=3, **_OPTIONS)  # type: ignore[arg-type]


def connect_writer(dsn: str) -> Connection:
    """Open a connection for writing by keys: a plan made while a table was small must not walk it once it is not.

    Raises psycopg.Error.
    """
    connection = connect(dsn)
    for way in ("seqscan", "hashjoin", "mergejoin"):
        connection.execute(f"SET enable_{way} = off")
    return connection


def migrate(connection: Connection, place: str) -> None:
    """Bring the schema up to date, one node at a time. Raises GatewayTrouble, psycopg.Error."""
    known = migrations(PACKAGE)
    if not pending(known, _applied(connection), place):
        return
    # Locked before the transaction begins: one that began earlier may not see the tables another node just made.
    connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATING,))
    try:
        with connection.transaction():
            for step in pending(known, _applied(connection), place):
                connection.execute(step.sql.encode())
                connection.execute(
                    "INSERT INTO schema_version (number, name, checksum) VALUES (%s, %s, %s)",
                    (step.number, step.name, step.checksum),
                )
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATING,))


def _applied(connection: Connection) -> dict[int, str]:
    found = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if found is None or found[0] is None:
        return {}
    return dict(connection.execute("SELECT number, checksum FROM schema_version").fetchall())
