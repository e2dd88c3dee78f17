"""Readers of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outlast.store.listing import Lane
from outlast.store.postgres.connection import Connection, spelled
from outlast.store.rows import Row


class PostgresReader:
    """One connection of the pool, while a question is answered."""

    like = "ILIKE"

    def __init__(self, connection: Connection, sql: dict[str, str]) -> None:
        self.connection = connection
        self.sql = sql

    def rows(self, name: str, **params: Any) -> Sequence[Row]:  # noqa: ANN401
        """Run a statement and return all its rows."""
        return self.connection.execute(self.sql[name], params).fetchall()

    def lane(self, name: str, lane: Lane) -> Sequence[Row]:
        """Walk along an index; the server's statistics choose which."""
        return self.connection.execute(self.lane_sql(name, lane), lane.params).fetchall()

    def lane_sql(self, name: str, lane: Lane) -> str:
        """Return the statement of a lane."""
        return self.sql[name].replace("{where}", spelled(lane.where))
