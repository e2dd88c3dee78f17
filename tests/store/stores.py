"""Makes empty stores of each kind."""

from __future__ import annotations

from outlast.store.sqlite import SqliteStore

KINDS = ["sqlite", "postgresql"]


def make_store(kind, request, tmp_path):
    if kind == "sqlite":
        return SqliteStore(str(tmp_path / "ledger.db"))
    from outlast.store.postgres import PostgresStore

    return PostgresStore(request.getfixturevalue("pg_database"))
