"""Readers of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import apsw

from outlast.store.listing import Lane
from outlast.store.rows import Row


class SqliteReader:
    """One connection that only reads; used by one thread."""

    like = "LIKE"

    def __init__(self, connection: apsw.Connection, sql: dict[str, str]) -> None:
        self.connection = connection
        self.sql = sql

    def rows(self, name: str, **params: Any) -> Sequence[Row]:  # noqa: ANN401
        """Run a statement and return all its rows."""
        return self.connection.execute(self.sql[name], params).fetchall()

    def lane(self, name: str, lane: Lane) -> Sequence[Row]:
        """Walk along an index. It is named in the statement: without statistics SQLite would have to guess."""
        return self.connection.execute(self.lane_sql(name, lane), lane.params).fetchall()

    def lane_sql(self, name: str, lane: Lane) -> str:
        """Return the statement of a lane."""
        return self.sql[name].replace("{index}", lane.leader).replace("{where}", lane.where)

    def check(self) -> list[str]:
        """Return what is wrong with the file, in SQLite's words, and what hangs in the air."""
        found = [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check(20)")]
        return [str(row[0]) for row in self.rows("check")] if found == ["ok"] else found

    def copy(self, path: str) -> None:
        """Copy under one snapshot; the name appears only when the copy is complete and on disk."""
        part = f"{path}.part"
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        try:
            target = apsw.Connection(part)
            try:
                with target.backup("main", self.connection, "main") as backup:
                    backup.step(-1)
            finally:
                target.close()
            os.link(part, path)
        finally:
            os.unlink(part)
