"""The one thread that writes to the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import apsw

from outlast.core.errors import GatewayTrouble
from outlast.store.acts import BROUGHT, Rows, Step, Steps, taken
from outlast.store.base import Change
from outlast.store.gather import Act, Gatherer, Settled
from outlast.store.sqlite.connection import connect, explain
from outlast.store.statements import numbered

Run = Callable[[Mapping[str, Any]], Rows]

_ANSWERED_BY_ROW = frozenset(
    (
        "claim_task", "reclaim_task", "end_task", "requeue_task", "note_progress", "attach_session", "set_notify",
        "dismiss", "ask_cancel",
    )
)  # fmt: skip
"""Statements that answer with the task they changed. The row is read by its key in the same transaction, because
RETURNING makes SQLite build a table for it and costs more than the update itself."""

_SILENT = frozenset(
    (
        "append_notice", "create_task", "delete_payload", "lift_queue_limit", "prune_events",
        "prune_outbox", "put_payload", "ripen_tasks", "set_delivery", "set_queue_limit",
    )
)  # fmt: skip
"""Statements that answer nothing."""


class Writer(Gatherer):
    """Runs batches of acts, each batch one transaction. Raises apsw.Error when the file cannot be opened."""

    def __init__(
        self, path: str, sql: dict[str, str], loop: asyncio.AbstractEventLoop, changed: Callable[[Change], None]
    ) -> None:
        super().__init__(path, loop, changed)
        self._broken: GatewayTrouble | None = None
        self._connection = connect(path, writer=True)
        self._execute = self._connection.cursor().execute
        self._statements = {name: (self._runner(name, sql), BROUGHT.get(name, 0)) for name in sql}
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
                settled: Settled = [(act.future, self._drive(act), None) for act in batch]
            except Exception as error:
                self._rollback()
                return self._write_apart(batch) if len(batch) > 1 else self._fail(batch, error)
            self.near("store:before_commit")
            self._execute("COMMIT")
        except apsw.Error as error:
            self._rollback()
            return self._fail(batch, error)
        return settled

    def _drive(self, act: Act) -> Any:  # noqa: ANN401
        steps: Steps[Any] = act.do(*act.args)
        statements = self._statements
        brought = 0
        step: Step = ("", {})
        try:
            wanted = next(steps)
            while True:
                answers = []
                for step in wanted:
                    run, brings = statements[step[0]]
                    answers.append(run(step[1]))
                    brought |= brings
                wanted = steps.send(answers)
        except StopIteration as end:
            self.brought |= brought
            return end.value
        except apsw.ConstraintError as error:
            if step[0] in ("create_task", "start_task") and "task.id" in str(error):
                raise taken(step[1]["id"]) from error
            raise

    def _runner(self, name: str, texts: dict[str, str]) -> Run:
        """Return what runs a statement and brings its answer."""
        execute, changes, newest = self._execute, self._connection.changes, self._connection.last_insert_rowid
        sql, pick = numbered(texts[name])

        def rows(params: Mapping[str, Any]) -> Rows:
            return execute(sql, pick(params)).fetchall()

        def silent(params: Mapping[str, Any]) -> Rows:
            execute(sql, pick(params))
            return ()

        def by_row(params: Mapping[str, Any]) -> Rows:
            execute(sql, pick(params))
            return execute(get_task, (params["id"],)).fetchall() if changes() else ()

        def guarded(params: Mapping[str, Any]) -> Rows:
            if not params["force"] and not execute(guard.sql, guard.pick(params)).fetchall():
                return ()
            execute(sql, pick(params))
            return ((params["id"],),)

        def appended(params: Mapping[str, Any]) -> Rows:
            execute(sql, pick(params))
            return ((newest(),),)

        if name == "append_event":
            return appended
        if name == "start_task":
            guard = numbered(texts["may_start"])
            return guarded
        if name in _ANSWERED_BY_ROW:
            get_task = numbered(texts["get_task"]).sql
            return by_row
        return silent if name in _SILENT else rows

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
