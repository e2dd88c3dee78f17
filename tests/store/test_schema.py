"""Migrations lead to the schema that is written down, and both stores have the same statements."""

from __future__ import annotations

import re

import apsw
import pytest

from outlast.core.errors import GatewayTrouble
from outlast.store import migrate
from outlast.store.base import StoreInfo
from outlast.store.flow_rows import (
    APPROVAL_COLUMNS,
    FLOW_COLUMNS,
    FLOW_EVENT_COLUMNS,
    FLOW_WORKER_COLUMNS,
    SIGNAL_COLUMNS,
    STEP_COLUMNS,
)
from outlast.store.rows import EVENT_COLUMNS, OUTBOX_COLUMNS, TASK_COLUMNS
from outlast.store.sqlite import SqliteStore
from outlast.store.statements import load

SQLITE, POSTGRES = "outlast.store.sqlite", "outlast.store.postgres"
_FLOW_TABLES = {
    "flow": FLOW_COLUMNS, "flow_step": STEP_COLUMNS, "flow_event": FLOW_EVENT_COLUMNS, "flow_signal": SIGNAL_COLUMNS,
    "flow_worker": FLOW_WORKER_COLUMNS, "approval": APPROVAL_COLUMNS,
}  # fmt: skip
ONLY_SQLITE = {"foreign_version", "may_start", "ended_flow", "held_claim"}


def _sqlite_shape(connection) -> set:
    shape = set()
    for kind, name, table in connection.execute("SELECT type, name, tbl_name FROM sqlite_schema"):
        if kind == "table":
            shape |= {(name, *row[1:]) for row in connection.execute(f"PRAGMA table_xinfo({name})")}
            shape |= {(name, *row[2:6]) for row in connection.execute("PRAGMA table_list") if row[1] == name}
        sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).get
        # A column that was added later stands in the text with spaces of its own.
        shape.add((kind, name, table, sql and re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split()))))
    return shape


def test_sqlite_migrations_lead_to_the_schema():
    by_steps, at_once = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    for step in migrate.migrations(SQLITE):
        by_steps.execute(step.sql)
    at_once.execute(migrate.schema_text(SQLITE))
    assert _sqlite_shape(by_steps) == _sqlite_shape(at_once)
    assert len(_sqlite_shape(at_once)) > 80


_PG_SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name, ordinal_position::text
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT tablename, indexname, indexdef, '', '', '', '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""


def test_postgres_migrations_lead_to_the_schema(pg_database):
    import psycopg

    with psycopg.connect(pg_database, autocommit=True) as connection:
        shapes = []
        for scripts in ([step.sql for step in migrate.migrations(POSTGRES)], [migrate.schema_text(POSTGRES)]):
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            for script in scripts:
                connection.execute(script.encode())
            shapes.append(set(connection.execute(_PG_SHAPE).fetchall()))
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) > 80


def test_both_stores_have_the_same_tables_and_columns_and_indexes(pg_database):
    import psycopg

    here = apsw.Connection(":memory:")
    here.execute(migrate.schema_text(SQLITE))
    names = [
        row[0]
        for row in here.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ]
    columns = {(name, row[1]) for name in names for row in here.execute(f"PRAGMA table_xinfo({name})")}
    indexes = {
        row[0] for row in here.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    }
    with psycopg.connect(pg_database, autocommit=True) as there:
        there.execute(migrate.schema_text(POSTGRES).encode())
        found = there.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
        assert set(found.fetchall()) == columns
        found = there.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        assert {name for (name,) in found if not name.endswith(("_pkey", "_key"))} == indexes
    assert {name for table, name in columns if table == "task"} == set(TASK_COLUMNS)
    assert {name for table, name in columns if table == "event"} == set(EVENT_COLUMNS)
    assert {name for table, name in columns if table == "outbox"} == {*OUTBOX_COLUMNS, "settled_at"}
    for of_table, known in _FLOW_TABLES.items():
        assert {name for table, name in columns if table == of_table} == set(known)


def test_both_stores_have_the_same_statements():
    assert set(load(SQLITE)) - ONLY_SQLITE == set(load(POSTGRES))
    assert "list_tasks" in load(SQLITE)


def test_steps_that_were_applied_are_not_applied_again(sqlite_path, runner):
    async def twice() -> StoreInfo:
        for _ in range(2):
            store = SqliteStore(sqlite_path)
            await store.open()
            info = await store.info()
            await store.close()
        return info

    info = runner.run(twice())
    assert (info.kind, info.place) == ("sqlite", sqlite_path)
    assert info.schema_version == migrate.migrations(SQLITE)[-1].number


def test_a_step_that_is_not_the_one_we_know_is_refused():
    known = [migrate.Migration(1, "first", "CREATE TABLE a (b)"), migrate.Migration(2, "second", "")]
    assert migrate.pending(known, {1: known[0].checksum}, "here") == [known[1]]
    with pytest.raises(GatewayTrouble) as caught:
        migrate.pending(known, {1: "another"}, "here")
    assert (caught.value.code, caught.value.retryable) == ("store_damaged", False)
    with pytest.raises(GatewayTrouble) as caught:
        migrate.pending(known, {1: known[0].checksum, 3: "later"}, "here")
    assert (caught.value.code, caught.value.retryable) == ("store_newer", False)
