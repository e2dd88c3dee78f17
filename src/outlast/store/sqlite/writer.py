"""The one thread that writes to the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import apsw

from outlast.core.errors import GatewayTrouble
from outlast.store.acts import BROUGHT, Steps, taken
from outlast.store.base import Change
from outlast.store.gather import Act, Gatherer, Settled
from outlast.store.sqlite.connection import connect, explain

_NONE: dict[str, Any] = {}
_ANSWERED_BY_ROW = frozenset(
    (
        "claim_task", "reclaim_task", "end_task", "requeue_task", "note_progress", "attach_session", "set_notify",
        "dismiss", "ask_cancel",
    )
)  # fmt: skip
"""Statements that answer with the task they changed. The row is read by its key in the same transaction, because
RETURNING makes SQLite build a table for it and costs more than the update itself."""


class Writer(Gatherer):
    """Runs batches of acts, each batch one transaction. Raises apsw.Error when the file cannot be opened."""

    def __init__(
        self, path: str, sql: dict[str, str], loop: asyncio.AbstractEventLoop, changed: Callable[[Change], None]
    ) -> None:
        super().__init__(path, loop, changed)
        self._sql = sql
        self._broken: GatewayTrouble | None = None
        self._connection = connect(path, writer=True)
        self._execute = self._connection.cursor().execute
        self.start()

    def close(self) -> None:
        """Finish what was asked for, then let go of the file."""
        super().close()
        self._connection.close()

    def write(self, batch: list[Act]) -> Settled:
        """Run a batch in one transaction; with nets only when it does not go through without."""
        self.brought = 0
        if self._broken is not None:
            return [(act.future, None, self._broken) for act in batch]
        try:
            self._execute("BEGIN IMMEDIATE")
            try:
                results = [self._drive(act) for act in batch]
            except Exception as error:
                self._rollback()
                return self._write_apart(batch) if len(batch) > 1 else self._fail(batch, error)
            self.near("store:before_commit")
            self._execute("COMMIT")
        except apsw.Error as error:
            self._rollback()
            return self._fail(batch, error)
        return [(act.future, result, None) for act, result in zip(batch, results, strict=True)]

    def _drive(self, act: Act) -> Any:  # noqa: ANN401
        steps: Steps[Any] = act.do(*act.args)
        execute, sql = self._execute, self._sql
        brought = 0
        name, params = "", _NONE
        try:
            wanted = next(steps)
            while True:
                answers = []
                for name, params in wanted:
                    rows = execute(sql[name], params).fetchall()
                    if name in _ANSWERED_BY_ROW and self._connection.changes():
                        rows = execute(sql["get_task"], params).fetchall()
                    answers.append(rows)
                    brought |= BROUGHT.get(name, 0)
                wanted = steps.send(answers)
        except StopIteration as end:
            self.brought |= brought
            return end.value
        except apsw.ConstraintError as error:
            if name in ("create_task", "start_task") and "task.id" in str(error):
                raise taken(params["id"]) from error
            raise

    def _write_apart(self, batch: list[Act]) -> Settled:
        """Run a batch again, each act in a savepoint. Raises apsw.Error when the transaction itself is lost."""
        self._execute("BEGIN IMMEDIATE")
        settled: Settled = []
        for act in batch:
            self._execute("SAVEPOINT act")
            try:
                settled.append((act.future, self._drive(act), None))
            except Exception as error:
                if not self._connection.in_transaction:
                    raise  # SQLite gave up the whole transaction (a full disk does that)
                self._execute("ROLLBACK TO act")
                settled.append((act.future, None, self._meaning(error)))
            self._execute("RELEASE act")
        self._execute("COMMIT")
        return settled

    def _rollback(self) -> None:
        self.brought = 0
        if self._connection.in_transaction:
            try:
                self._execute("ROLLBACK")
            except apsw.Error:
                pass  # the error that led here is the one to tell

    def _fail(self, batch: list[Act], error: Exception) -> Settled:
        meaning = self._meaning(error)
        return [(act.future, None, meaning) for act in batch]

    def _meaning(self, error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        meaning = explain(error, self.place)
        if meaning.code == "store_damaged":
            self._broken = meaning  # writing on would make it worse
        return meaning
