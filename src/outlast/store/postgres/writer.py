"""The one thread of a node that writes to the server.

A batch is one transaction, and the statements of all its acts fly in one pipeline: each round sends the next step
of every act and then reads all answers. Claims count before they take, so each runs by itself (`runs_alone`). The
transaction begins with the lock of writers; what follows is one order of writes over all nodes, as a file would have
it: a reader that resumes after an event's id never misses one that was numbered earlier and committed later.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from outlast.store.acts import BROUGHT
from outlast.store.base import Change
from outlast.store.gather import Act, Gatherer, Settled
from outlast.store.postgres.connection import CHANNEL, WRITE_ORDER, Connection, connect_writer, explain
from outlast.store.postgres.flight import fly, statement
from outlast.store.registry import TAKEN, runs_alone
from outlast.store.steps import Rows, Step, Steps

_OF_CONSTRAINT = {known.constraint: known for known in TAKEN.values()}
_KEY = re.compile(r"\(id\)=\((.*)\)")


class Writer(Gatherer):
    """Runs batches of acts over one connection, which it makes anew after it was lost."""

    def __init__(
        self,
        dsn: str,
        place: str,
        sql: dict[str, str],
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[Change], None],
    ) -> None:
        super().__init__(place, loop, changed)
        self._dsn = dsn
        self._statements = {name: statement(text) for name, text in sql.items()}
        self._connection: Connection | None = None
        self._committing = False
        self.start()

    def pid(self) -> int | None:
        """Return the number of the server's process for us: how our own notices are told from others'."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.info.backend_pid

    def let_go(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    def write(self, batch: list[Act]) -> Settled:
        """Run a batch in one transaction; each act by itself only when that does not go through."""
        used = self._connection is not None
        try:
            return self._together(batch)
        except psycopg.OperationalError as error:
            # A connection that died while nobody used it: nothing was committed over it, so a new one may try.
            if not used or self._committing or self._connection is not None:
                return self._fail(batch, error)
        except Exception as error:
            return self._apart(batch) if len(batch) > 1 else self._fail(batch, error)
        return self.write(batch)

    def _apart(self, batch: list[Act]) -> Settled:
        settled: Settled = []
        brought = 0
        for act in batch:
            settled += self.write([act])
            brought |= self.brought
        self.brought = brought
        return settled

    def _together(self, batch: list[Act]) -> Settled:
        self.brought = 0
        self._committing = False
        connection = self._connected()
        results: list[Any] = []
        try:
            with connection.pipeline() as pipeline:
                connection.execute("BEGIN")
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_ORDER,))
                for group in _groups(batch):
                    results += self._round_trips(connection, pipeline, group)
                self.near("before", batch)
                if self.brought:
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(self.brought)))
                self._committing = True
                connection.execute("COMMIT")
        except BaseException:
            self.brought = 0
            self._let_go(connection)
            raise
        return [(act.future, result, None) for act, result in zip(batch, results, strict=True)]

    def _round_trips(self, connection: Connection, pipeline: psycopg.Pipeline, acts: Sequence[Act]) -> list[Any]:
        results: list[Any] = [None] * len(acts)
        aboard: list[tuple[int, Steps[Any], Sequence[Rows] | None]] = [
            (place, act.do(*act.args), None) for place, act in enumerate(acts)
        ]
        while aboard:
            wanted: list[Step] = []
            flown = []
            for place, steps, answers in aboard:
                try:
                    more = next(steps) if answers is None else steps.send(answers)
                except StopIteration as end:
                    results[place] = end.value
                else:
                    flown.append((place, steps, len(wanted), len(wanted) + len(more)))
                    wanted += more
            found = self._fly(connection, pipeline, wanted)
            aboard = [(place, steps, found[begin:end]) for place, steps, begin, end in flown]
        return results

    def _fly(self, connection: Connection, pipeline: psycopg.Pipeline, wanted: list[Step]) -> list[Rows]:
        for name, _ in wanted:
            self.brought |= BROUGHT.get(name, 0)
        return fly(connection, pipeline, self._statements, wanted)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect_writer(self._dsn)
        return self._connection

    def _let_go(self, connection: Connection) -> None:
        """Return to a clean connection, or to none."""
        try:
            connection.rollback()
        except psycopg.Error:
            connection.close()
        if connection.closed:
            self._connection = None

    def _fail(self, batch: list[Act], error: Exception) -> Settled:
        meaning: Exception = error
        known = None
        if isinstance(error, psycopg.errors.UniqueViolation):
            known = _OF_CONSTRAINT.get(error.diag.constraint_name or "")
            key = _KEY.search(error.diag.message_detail or "")
        if known is not None:
            meaning = known.error("of that id" if key is None else key[1])
        elif isinstance(error, psycopg.Error):
            meaning = explain(error, self.place)
        return [(act.future, None, meaning) for act in batch]


def _groups(batch: list[Act]) -> list[list[Act]]:
    groups: list[list[Act]] = []
    may_join = False
    for act in batch:
        alone = runs_alone(act.do, act.args)
        if groups and not alone and may_join:
            groups[-1].append(act)
        else:
            groups.append([act])
        may_join = not alone
    return groups
